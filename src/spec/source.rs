//! Where declarations stand: files, directories, lists.
