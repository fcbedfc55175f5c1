//! Python environments.
