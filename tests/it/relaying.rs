//! relaying
