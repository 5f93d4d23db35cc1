//! Until the options have them.
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    pub binds: Vec<AdminBind>,
    pub allow: Vec<Pattern>,
    pub read_only: bool,
    pub hosts: Vec<String>,
    pub probes: Vec<SocketAddr>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);
impl Pattern {
    pub fn matches(&self, name: &str) -> bool {
        self.0 == name
    }
}
