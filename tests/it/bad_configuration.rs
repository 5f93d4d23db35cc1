//! bad_configuration
