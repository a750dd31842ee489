//! The files of the console, in the program.

use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../console/dist");

/// A file of the console.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its bytes.
    pub plain: &'static [u8],
    /// The same, compressed by gzip.
    pub gzip: Option<&'static [u8]>,
    /// The same, compressed by brotli.
    pub brotli: Option<&'static [u8]>,
    /// Its media type.
    pub media_type: &'static str,
}

/// The page itself. It names all other files, whose names change with their content.
pub fn page() -> Option<Asset> {
    find("index.html")
}

/// The file that the page names by this path below `assets/`.
pub fn asset(path: &str) -> Option<Asset> {
    // Compressed files are ways to send the others, and nothing of their own.
    let is_one = media_type(path).is_some();
    is_one.then(|| find(&format!("assets/{path}"))).flatten()
}

fn find(path: &str) -> Option<Asset> {
    let bytes = |path: &str| FILES.get_file(path).map(include_dir::File::contents);
    Some(Asset {
        plain: bytes(path)?,
        gzip: bytes(&format!("{path}.gz")),
        brotli: bytes(&format!("{path}.br")),
        media_type: media_type(path)?,
    })
}

fn media_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_files_that_are_there() {
        let page = page().unwrap();
        let text = std::str::from_utf8(page.plain).unwrap();
        let named: Vec<&str> = text
            .split("\"/assets/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(named.len() >= 4, "{text}");
        for path in named {
            let asset = asset(path).unwrap();
            assert!(asset.gzip.is_some() && asset.brotli.is_some(), "{path}");
            assert!(asset.brotli.unwrap().len() < asset.plain.len(), "{path}");
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for path in ["", "nothing.js", "../index.html", "main.js", "/etc/passwd"] {
            assert!(asset(path).is_none(), "{path}");
        }
        for file in FILES.get_dir("assets").unwrap().files() {
            let name = file.path().file_name().unwrap().to_str().unwrap();
            let is_compressed = name.ends_with(".br") || name.ends_with(".gz");
            assert_eq!(asset(name).is_none(), is_compressed, "{name}");
        }
    }
}
