//! dead_peers
