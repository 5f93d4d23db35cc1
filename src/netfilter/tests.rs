//! Tables of cases for what a firewall would make of the redirects.
