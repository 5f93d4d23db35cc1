//! The page at `/`: its files, which are part of the binary, and the headers that every reply has.

use hyper::header::{self, HeaderName};

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asset {
    pub(super) path: &'static str,
    /// The content type.
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

impl Asset {
    pub(super) fn of(path: &str) -> Option<Asset> {
        ASSETS.into_iter().find(|asset| asset.path == path)
    }
}

/// The headers of every reply. With them, a browser runs and shows only the files of the page, lets no other site show
/// or read a reply, and never parses a text as HTML.
pub(super) const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

const ASSETS: [Asset; 9] = [
    Asset { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../page/index.html") },
    Asset { path: "/page/style.css", kind: "text/css; charset=utf-8", text: include_str!("../page/style.css") },
    Asset { path: "/page/icon.svg", kind: "image/svg+xml", text: include_str!("../page/icon.svg") },
    script("/page/main.js", include_str!("../page/main.js")),
    script("/page/dom.js", include_str!("../page/dom.js")),
    script("/page/chart.js", include_str!("../page/chart.js")),
    script("/page/changes.js", include_str!("../page/changes.js")),
    script("/page/clients.js", include_str!("../page/clients.js")),
    script("/page/panels.js", include_str!("../page/panels.js")),
];

const fn script(path: &'static str, text: &'static str) -> Asset {
    Asset { path, kind: "text/javascript; charset=utf-8", text }
}

#[cfg(test)]
mod tests {
    use super::ASSETS;

    #[test]
    fn files_refer_to_files_of_the_page_only() {
        let mut bytes = 0;
        for asset in ASSETS {
            bytes += asset.text.len();
            for (before, _) in asset.text.match_indices("://").map(|(at, _)| asset.text.split_at(at)) {
                let near: String = before.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
                assert!(asset.text[before.len()..].starts_with("://www.w3.org/2000/svg"), "{}: {near}", asset.path);
            }
            for wrong in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""] {
                assert!(!asset.text.contains(wrong), "{} contains {wrong}", asset.path);
            }
            for (_, rest) in asset.text.match_indices(['"']).map(|(at, _)| asset.text.split_at(at + 1)) {
                let Some(name) =
                    rest.split('"').next().filter(|name| name.starts_with("/page/") || name.starts_with("./"))
                else {
                    continue;
                };
                let path = name.replace("./", "/page/");
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{} refers to {path}", asset.path);
            }
        }
        assert!(bytes < 100 * 1024, "{bytes} bytes");
    }
}
