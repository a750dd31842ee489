//! Any bytes as a path in a workspace, as they are and as a URL has them: one that is taken leads
//! down and nowhere else, and reads back the same.

#![no_main]

use std::path::Component;

use aod_resources::FilePath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let decoded = std::str::from_utf8(bytes).ok().map(FilePath::decode);
    for path in [Some(FilePath::from_bytes(bytes)), decoded]
        .into_iter()
        .flatten()
    {
        let Ok(path) = path else { continue };
        assert_eq!(FilePath::decode(&path.encode()), Ok(path.clone()));
        assert_eq!(FilePath::from_bytes(path.as_bytes()), Ok(path.clone()));
        assert!(path.as_bytes().len() <= 4095 && !path.as_bytes().contains(&0));
        let mut names = path.as_path().components();
        assert!(
            names.all(|name| matches!(name, Component::Normal(_))),
            "{path:?}"
        );
        assert!(path.encode().is_ascii() && !path.encode().contains("//"));
    }
});
