//! Requirement files, read line by line into canonical requirements.
