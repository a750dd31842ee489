//! Finding sections by words: by how rare the words are, and where they stand (BM25 over sections,
//! with headings counting more).

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::{PAGES, Page, Section};

/// More is not shown.
const MOST: usize = 20;
/// Longer queries are cut: nobody types that much.
const WORDS: usize = 12;
/// So much of a section is shown, in characters.
const EXCERPT: usize = 200;
/// How much a word in a heading counts for, and one in the title of the page.
const IN_HEADING: f64 = 6.0;
const IN_TITLE: f64 = 3.0;
/// The constants of BM25, as they are usual.
const K: f64 = 1.2;
const B: f64 = 0.75;

/// A section that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The page that it is in.
    pub page: &'static Page,
    /// Where on the page; empty for its top.
    pub anchor: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is said there.
    pub excerpt: String,
}

/// Words that say nothing of what is looked for.
const EMPTY: &[&str] = &[
    "a", "an", "and", "are", "be", "by", "can", "do", "does", "for", "from", "how", "i", "in",
    "is", "it", "my", "of", "on", "or", "the", "to", "what", "when", "where", "which", "with",
    "you",
];

/// Words that people use for what has another one here.
const SAME: &[(&str, &str)] = &[
    ("allowlist", "allow"),
    ("alternatives", "comparison"),
    ("apikey", "credential"),
    ("approval", "approve"),
    ("auth", "token"),
    ("authentication", "token"),
    ("autocomplete", "completion"),
    ("back", "backup"),
    ("budget", "limit"),
    ("cancel", "interrupt"),
    ("changelog", "changes"),
    ("codes", "status"),
    ("compared", "comparison"),
    ("config", "setting"),
    ("configuration", "setting"),
    ("container", "docker"),
    ("continue", "resume"),
    ("conversation", "session"),
    ("cursor", "acp"),
    ("deb", "debian"),
    ("delete", "remove"),
    ("enospc", "disk"),
    ("env", "environment"),
    ("extension", "runtime"),
    ("fast", "performance"),
    ("firewall", "network"),
    ("gdpr", "delete"),
    ("healthcheck", "health"),
    ("helm", "docker"),
    ("kubernetes", "docker"),
    ("lost", "losing"),
    ("monitor", "metric"),
    ("monitoring", "metric"),
    ("notification", "webhook"),
    ("password", "secret"),
    ("plugin", "adapter"),
    ("price", "cost"),
    ("quota", "limit"),
    ("repo", "repository"),
    ("reverse", "proxy"),
    ("share", "users"),
    ("space", "disk"),
    ("speed", "performance"),
    ("spending", "cost"),
    ("sso", "token"),
    ("stop", "interrupt"),
    ("stuck", "pending"),
    ("team", "users"),
    ("telemetry", "opentelemetry"),
    ("throttling", "429"),
    ("tracing", "trace"),
    ("uninstall", "purge"),
    ("unit", "systemd"),
    ("vllm", "ollama"),
    ("vscode", "editor"),
    ("wipe", "delete"),
];

/// What the pages of a part of the book count for: who asks uses or operates a server, far more often
/// than to build on it.
fn weight_of(page: &Page) -> f64 {
    match page.part {
        "Extend" => 0.55,
        _ => 1.0,
    }
}

struct Indexed {
    page: &'static Page,
    section: &'static Section,
    /// How much each word counts here.
    words: HashMap<String, f64>,
    length: f64,
}

struct Index {
    sections: Vec<Indexed>,
    /// In how many sections a word is.
    spread: HashMap<String, f64>,
    length: f64,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut sections = Vec::new();
    let mut spread: HashMap<String, f64> = HashMap::new();
    for page in PAGES {
        for section in page.sections {
            let mut words: HashMap<String, f64> = HashMap::new();
            let mut length = 0.0;
            for (text, weight) in [
                (section.text, 1.0),
                (section.title, IN_HEADING),
                (page.title, IN_TITLE),
            ] {
                for word in words_of(text) {
                    *words.entry(word).or_default() += weight;
                    length += 1.0;
                }
            }
            for word in words.keys() {
                *spread.entry(word.clone()).or_default() += 1.0;
            }
            sections.push(Indexed {
                page,
                section,
                words,
                length,
            });
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "there are some hundreds")]
    let count = sections.len().max(1) as f64;
    let length = sections.iter().map(|it| it.length).sum::<f64>() / count;
    Index {
        sections,
        spread,
        length,
    }
});

/// The words of a text, without what changes about them in a sentence.
fn words_of(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| stem(&word.to_lowercase()))
        .collect()
}

fn stem(word: &str) -> String {
    let mut word = word.to_owned();
    // `settings` is `setting` is `set`.
    for endings in [
        [("ies", "y"), ("sses", "ss"), ("s", "")].as_slice(),
        &[("ing", ""), ("ed", "")],
    ] {
        for (ending, instead) in endings {
            let Some(rest) = word.strip_suffix(ending) else {
                continue;
            };
            if rest.chars().count() >= 3 && !rest.ends_with('s') {
                word = once(&format!("{rest}{instead}"), ending);
                break;
            }
        }
    }
    // `upgrade`, `upgrading`.
    match word.strip_suffix('e') {
        Some(rest) if rest.chars().count() >= 3 => rest.to_owned(),
        _ => word,
    }
}

/// A word whose last letter was doubled for its ending: `running`, `stopped`.
fn once(word: &str, ending: &str) -> String {
    let mut letters = word.chars().rev();
    let (last, before) = (letters.next(), letters.next());
    let was_doubled = last == before && !matches!(last, Some('l' | 's' | 'z' | 'e' | 'o'));
    match (ending, last) {
        ("ing" | "ed", Some(last)) if was_doubled => {
            word[..word.len() - last.len_utf8()].to_owned()
        }
        _ => word.to_owned(),
    }
}

/// The sections that fit a query best, at most two of a page.
pub fn search(query: &str) -> Vec<Hit> {
    let index = &*INDEX;
    let mut asked: Vec<(String, f64)> = Vec::new();
    for word in query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS)
    {
        let word = word.to_lowercase();
        if EMPTY.contains(&word.as_str()) {
            continue;
        }
        asked.push((stem(&word), 1.0));
        let same = SAME.iter().filter(|(other, _)| *other == word);
        asked.extend(same.map(|(_, ours)| (stem(ours), 0.8)));
    }
    let mut found: Vec<(f64, &Indexed)> = index
        .sections
        .iter()
        .map(|section| (score(index, section, &asked), section))
        .filter(|(score, _)| *score > 0.0)
        .collect();
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut seen: HashMap<&str, usize> = HashMap::new();
    found.retain(|(_, it)| {
        let count = seen.entry(it.page.slug).or_default();
        *count += 1;
        *count <= 2
    });
    let words: HashSet<&str> = asked.iter().map(|(word, _)| word.as_str()).collect();
    let hits = found.into_iter().take(MOST).map(|(_, it)| Hit {
        page: it.page,
        anchor: it.section.anchor,
        title: it.section.title,
        excerpt: excerpt(it.section.text, &words),
    });
    hits.collect()
}

fn score(index: &Index, section: &Indexed, asked: &[(String, f64)]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "there are some hundreds")]
    let count = index.sections.len() as f64;
    let mut sum = 0.0;
    let mut met = 0.0;
    for (word, weight) in asked {
        let Some(often) = section.words.get(word) else {
            continue;
        };
        let spread = index.spread.get(word).copied().unwrap_or(0.0);
        let rarity = ((count - spread + 0.5) / (spread + 0.5)).ln_1p();
        let length = 1.0 - B + B * section.length / index.length;
        sum += weight * rarity * often * (K + 1.0) / (often + K * length);
        met += 1.0;
    }
    // One that has all of the words comes before one that has a single word often.
    sum * (1.0 + met) * weight_of(section.page)
}

/// The piece of a text around the first word that was asked for.
fn excerpt(text: &str, words: &HashSet<&str>) -> String {
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let is_asked = |piece: &&str| {
        words_of(piece)
            .iter()
            .any(|word| words.contains(word.as_str()))
    };
    let first = pieces.iter().position(is_asked).unwrap_or(0);
    let mut shown = String::new();
    let from = first.saturating_sub(8);
    if from > 0 {
        shown += "… ";
    }
    for piece in pieces.iter().skip(from) {
        if shown.chars().count() + piece.chars().count() > EXCERPT {
            shown += "…";
            break;
        }
        shown += piece;
        shown.push(' ');
    }
    shown.trim_end().to_owned()
}
