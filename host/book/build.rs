//! Renders the documents while the crate is compiled: the book is always that of the program.
//!
//! `docs/SUMMARY.md` says what is in it, in the form that mdBook has for that.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// A page of the book.
struct Page {
    slug: String,
    title: String,
    part: String,
    file: PathBuf,
}

fn main() {
    // Cargo sets it; asked for now, since the folder may have moved since this was compiled.
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
    let root = Path::new(&folder).join("../..");
    let docs = root.join("docs");
    println!("cargo::rerun-if-changed={}", docs.display());
    let pages = contents(&docs);
    let slugs: BTreeMap<PathBuf, String> = pages
        .iter()
        .map(|page| (page.file.clone(), page.slug.clone()))
        .collect();
    let mut code = String::from("pub(crate) static PAGES: &[Page] = &[\n");
    for page in &pages {
        let path = root.join(&page.file);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("docs/SUMMARY.md names {}: {error}", path.display()));
        let (html, sections) = render(&text, &page.file, &slugs);
        let Page {
            slug, title, part, ..
        } = page;
        // Writing to a string cannot fail.
        let _ = writeln!(
            code,
            "Page {{ slug: {slug:?}, title: {title:?}, part: {part:?}, html: {html:?}, sections: &["
        );
        for section in sections {
            let Section {
                anchor,
                title,
                text,
            } = section;
            let _ = writeln!(
                code,
                "Section {{ anchor: {anchor:?}, title: {title:?}, text: {text:?} }},"
            );
        }
        code += "] },\n";
    }
    code += "];\n";
    let mut files = String::from("pub(crate) static FILES: &[(&str, &str)] = &[\n");
    for name in ["events.schema.json", "grafana.json"] {
        let path =
            fs::canonicalize(docs.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let _ = writeln!(files, "({name:?}, include_str!({path:?})),");
    }
    files += "];\n";
    let out = env::var("OUT_DIR").unwrap_or_default();
    fs::write(Path::new(&out).join("book.rs"), code + &files)
        .unwrap_or_else(|error| panic!("the book cannot be written: {error}"));
}

/// The pages that the summary names, in order.
fn contents(docs: &Path) -> Vec<Page> {
    let path = docs.join("SUMMARY.md");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut part = String::new();
    let mut pages = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            title.clone_into(&mut part);
        }
        let link = line
            .trim()
            .trim_start_matches("- ")
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|rest| rest.split_once("]("));
        let Some((title, file)) = link else { continue };
        let file = plain(&Path::new("docs").join(file));
        let slug = match file.to_str() {
            Some("README.md") => "readme".to_owned(),
            Some("plugins/README.md") => "plugins".to_owned(),
            Some("CHANGELOG.md") => "changelog".to_owned(),
            // `docs/security.md` is one, too.
            Some("SECURITY.md") => "reporting".to_owned(),
            _ => file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .to_ascii_lowercase(),
        };
        pages.push(Page {
            slug,
            title: title.to_owned(),
            part: part.clone(),
            file,
        });
    }
    assert!(pages.len() > 10, "docs/SUMMARY.md names no pages");
    pages
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            Component::CurDir => {}
            part => found.push(part),
        }
    }
    found
}

/// A heading and what stands below it, for the search.
struct Section {
    anchor: String,
    title: String,
    text: String,
}

/// A page's HTML, and its sections.
fn render(text: &str, file: &Path, slugs: &BTreeMap<PathBuf, String>) -> (String, Vec<Section>) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut sections: Vec<Section> = Vec::new();
    let mut anchors: BTreeMap<String, u32> = BTreeMap::new();
    let mut events = Vec::new();
    let mut leads = Vec::new();
    let mut parser = Parser::new_ext(text, options).peekable();
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                // All of it is needed before its anchor is known.
                let mut inside = Vec::new();
                let mut title = String::new();
                for event in parser.by_ref() {
                    match event {
                        Event::End(TagEnd::Heading(_)) => break,
                        Event::Text(text) => {
                            title += &text;
                            inside.push(Event::Text(text));
                        }
                        Event::Code(text) => {
                            title += &text;
                            inside.push(Event::Code(text));
                        }
                        event => inside.push(event),
                    }
                }
                let anchor = anchor_of(&title, &mut anchors);
                sections.push(Section {
                    anchor: if level == HeadingLevel::H1 {
                        String::new()
                    } else {
                        anchor.clone()
                    },
                    title,
                    text: String::new(),
                });
                let id = Some(CowStr::from(anchor));
                events.push(Event::Start(Tag::Heading {
                    level,
                    id,
                    classes: Vec::new(),
                    attrs: Vec::new(),
                }));
                events.extend(inside);
                events.push(Event::End(TagEnd::Heading(level)));
                continue;
            }
            // Comments, which are for tests.
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::Start(Tag::Link {
                dest_url,
                title,
                id,
                ..
            }) => {
                let dest_url = link(&dest_url, file, slugs);
                leads.push(dest_url.is_some());
                if let Some(dest_url) = dest_url {
                    events.push(Event::Start(Tag::Link {
                        link_type: LinkType::Inline,
                        dest_url: CowStr::from(dest_url),
                        title,
                        id,
                    }));
                }
            }
            Event::End(TagEnd::Link) if leads.pop() == Some(false) => {}
            event => {
                if let Some(section) = sections.last_mut() {
                    match &event {
                        Event::Text(text) | Event::Code(text) => section.text += text,
                        Event::SoftBreak
                        | Event::HardBreak
                        | Event::End(
                            TagEnd::Paragraph
                            | TagEnd::Item
                            | TagEnd::TableCell
                            | TagEnd::CodeBlock,
                        ) => section.text.push(' '),
                        _ => {}
                    }
                }
                events.push(event);
            }
        }
    }
    let mut page = String::new();
    html::push_html(&mut page, events.into_iter());
    // Wide tables and code scroll by themselves, and not the page; by the keyboard, too.
    let page = page
        .replace("<pre>", "<pre tabindex=\"0\">")
        .replace("<table>", "<div class=\"table\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>");
    (page, sections)
}

/// Where a heading is found, as other tools make it of its text.
fn anchor_of(title: &str, taken: &mut BTreeMap<String, u32>) -> String {
    let mut anchor = String::new();
    for c in title.to_lowercase().chars() {
        match c {
            ' ' => anchor.push('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => anchor.push(c),
            _ => {}
        }
    }
    let count = taken.entry(anchor.clone()).or_default();
    *count += 1;
    match *count {
        1 => anchor,
        count => format!("{anchor}-{}", count - 1),
    }
}

/// A link of a document, as it is in the book. What is not in the book is in the repository, to
/// which nothing in the program leads: there is none, and its text stays.
fn link(target: &str, file: &Path, slugs: &BTreeMap<PathBuf, String>) -> Option<String> {
    if target.contains("://") || target.starts_with('#') {
        return Some(target.to_owned());
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = file.parent().unwrap_or(Path::new(""));
    let path = plain(&folder.join(path));
    let anchor = match anchor {
        "" => String::new(),
        anchor => format!("#{anchor}"),
    };
    match slugs.get(&path) {
        Some(slug) => Some(format!("/docs/{slug}{anchor}")),
        None => match path.file_name().and_then(|name| name.to_str()) {
            Some(name @ ("events.schema.json" | "grafana.json")) => Some(format!("/docs/{name}")),
            _ => None,
        },
    }
}
