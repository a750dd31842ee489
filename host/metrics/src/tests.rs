use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

#[test]
fn every_family_is_there_once() {
    let metrics = metrics();
    let names: HashSet<&str> = metrics.families().iter().map(|it| it.name).collect();
    assert_eq!(names.len(), metrics.families().len());
    let text = metrics.text();
    for family in metrics.families() {
        let is_plain = family.labels.is_empty();
        let header = format!("# TYPE {} {}\n", family.name, family.kind.as_str());
        assert!(!is_plain || text.contains(&header), "{header}");
        let is_total = family.name.ends_with("_total");
        assert_eq!(is_total, family.kind == Kind::Counter, "{family:?}");
    }
}

#[test]
fn the_process_is_seen() {
    let text = metrics().text();
    for name in [
        "aod_open_files",
        "aod_open_files_limit",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        let line = text.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then_some(value)
        });
        let value: f64 = line.unwrap().parse().unwrap();
        assert!(value > 0.0, "{name} {value}");
    }
}

/// The table of the document, made from what there is; `AOD_UPDATE_DOCS=1` writes it there.
#[test]
fn the_document_lists_all_of_them() {
    const BEGIN: &str = "<!-- metrics -->\n";
    const END: &str = "<!-- end -->";
    let mut table = String::from("| name | kind | labels | says |\n|---|---|---|---|\n");
    for family in metrics().families() {
        let labels: Vec<String> = family.labels.iter().map(|it| format!("`{it}`")).collect();
        let (name, kind, help) = (family.name, family.kind.as_str(), family.help);
        let labels = labels.join(", ");
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (found, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("AOD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert_eq!(found, table, "AOD_UPDATE_DOCS=1 writes it");
    }
}

/// A dashboard that asks for what there is not stays empty, and nobody knows why.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut known = HashSet::new();
    for family in metrics().families() {
        known.insert(family.name.to_owned());
        if family.kind == Kind::Histogram {
            for suffix in ["_bucket", "_sum", "_count"] {
                known.insert(format!("{}{suffix}", family.name));
            }
        }
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let named: Vec<&str> = words
        .filter(|word| word.starts_with("aod_") || word.starts_with("process_"))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(known.contains(name), "{name} is no metric");
    }
    for kind in text.split("\"expr\": \"").skip(1) {
        let query = kind.split('"').next().unwrap();
        assert!(
            query.contains("aod_") || query.contains("process_"),
            "{query}"
        );
    }
}
