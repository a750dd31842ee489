use std::collections::HashSet;

use super::*;

/// What newcomers look for, and the page that should be among the first three that are found. Each
/// is as somebody would type it who does not know our words yet.
const LOOKED_FOR: [(&str, &str); 25] = [
    ("install", "operations"),
    ("docker", "operations"),
    ("systemd service", "operations"),
    ("upgrade to a new version", "backup"),
    ("backup and restore", "backup"),
    ("nginx reverse proxy tls", "operations"),
    ("prometheus metrics", "metrics"),
    ("opentelemetry traces", "metrics"),
    ("where are the logs", "metrics"),
    ("add an api key", "operations"),
    ("rotate encryption key", "operations"),
    ("create a token for a user", "vault-and-sandbox"),
    ("which models can I use", "runtimes-toml"),
    ("write my own runtime adapter", "plugins"),
    ("ACP agent", "runtimes"),
    ("clone a private git repository", "vault-and-sandbox"),
    ("reconnect to the stream without losing events", "stream"),
    ("answer permission questions", "howto"),
    ("limit cost per turn", "vault-and-sandbox"),
    ("allow only certain hosts network", "vault-and-sandbox"),
    (
        "CLAUDE.md AGENTS.md instructions in the repository",
        "runtimes",
    ),
    ("slash commands", "runtimes"),
    ("webhook signature", "webhooks"),
    ("disk full", "operations"),
    ("compared with other tools", "comparison"),
];

/// The same, in other words and of other things, with the sections that answer it.
const ASKED: [(&str, &[&str]); 25] = [
    (
        "resume a conversation",
        &["howto#resume-a-session-the-next-prompt"],
    ),
    ("how to upgrade", &["backup#upgrades", "operations#upgrade"]),
    ("back up the server", &["backup", "backup#taking-one"]),
    ("rotate keys", &["operations#secrets-and-rotation"]),
    (
        "use my own model with a custom base url",
        &["howto#use-a-model-or-an-endpoint-of-my-own-base-url-ollama-litellm"],
    ),
    ("add an MCP server", &["howto#add-an-mcp-server"]),
    ("private repo", &["howto#work-on-a-private-repository"]),
    ("verify webhook signature", &["webhooks#signatures"]),
    (
        "spending limit",
        &["howto#limit-cost-tokens-and-time", "operations#limits"],
    ),
    (
        "sse stream reconnect Last-Event-ID",
        &[
            "howto#reconnect-to-a-stream-without-losing-events",
            "stream#the-native-stream",
        ],
    ),
    (
        "approve tool permissions",
        &["howto#approve-what-an-agent-wants-to-do"],
    ),
    (
        "network allowlist",
        &[
            "howto#allow-only-some-hosts-a-network-allow-list",
            "vault-and-sandbox#the-network",
        ],
    ),
    (
        "nginx sse buffering",
        &["operations#behind-a-proxy-tls-and-nginx"],
    ),
    ("no space left on device", &["operations#the-disk-is-full"]),
    ("delete my data", &["howto#delete-my-data"]),
    (
        "multiple users",
        &[
            "howto#give-other-people-access-users-and-tokens",
            "operations#address-port-users-and-access",
        ],
    ),
    ("run as a systemd unit", &["operations#install"]),
    ("kubernetes or docker compose", &["operations#install"]),
    ("grafana dashboard", &["metrics#metrics"]),
    (
        "write a plugin for another cli",
        &["plugins", "plugins#your-own-in-ten-minutes"],
    ),
    (
        "which secrets can the agent see",
        &["howto#know-which-secrets-an-agent-can-see"],
    ),
    ("error codes", &["http-api#errors-and-status-codes"]),
    (
        "429 too many requests rate limit",
        &["http-api#errors-and-status-codes"],
    ),
    ("session stuck pending", &["operations#anything-else"]),
    (
        "change the port",
        &["operations#address-port-users-and-access"],
    ),
];

#[test]
fn newcomers_find_what_they_look_for() {
    let missed: Vec<String> = LOOKED_FOR
        .iter()
        .filter_map(|(query, page)| {
            let hits = search(query);
            let first: Vec<&str> = hits.iter().take(3).map(|hit| hit.page.slug).collect();
            let is_found = first.contains(page);
            (!is_found).then(|| format!("{query:?} should find {page}, and finds {first:?}"))
        })
        .collect();
    assert!(missed.len() <= 2, "{missed:#?}");
}

#[test]
fn questions_lead_to_the_sections_that_answer_them() {
    let place = |hit: &Hit| match hit.anchor {
        "" => hit.page.slug.to_owned(),
        anchor => format!("{}#{anchor}", hit.page.slug),
    };
    let mut missed = Vec::new();
    for (query, wanted) in ASKED {
        for place in wanted {
            let (slug, anchor) = place.split_once('#').unwrap_or((place, ""));
            let page = page(slug).unwrap();
            let mut sections = page.sections.iter();
            assert!(sections.any(|it| it.anchor == anchor), "no {place}");
        }
        let first: Vec<String> = search(query).iter().take(3).map(place).collect();
        if !first.iter().any(|it| wanted.contains(&it.as_str())) {
            missed.push(format!(
                "{query:?} should find {wanted:?}, and finds {first:?}"
            ));
        }
    }
    assert!(missed.len() <= 2, "{missed:#?}");
}

#[test]
fn links_lead_to_pages_and_headings() {
    for page in pages() {
        for target in page.html.split("href=\"").skip(1) {
            let target = target.split('"').next().unwrap();
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let slug = match path.strip_prefix("/docs/") {
                Some(slug) => slug,
                None if path.is_empty() && !anchor.is_empty() => page.slug,
                None => panic!("{}: {target:?} leads nowhere", page.slug),
            };
            if file(slug).is_some() {
                continue;
            }
            let other = super::page(slug).unwrap_or_else(|| panic!("{}: {target}", page.slug));
            let id = format!("id=\"{anchor}\"");
            assert!(
                anchor.is_empty() || other.html.contains(&id),
                "{}: {target}",
                page.slug
            );
        }
    }
}

#[test]
fn pages_have_no_script_and_nothing_inline() {
    let hits = search("session");
    let all = pages().iter().map(render).chain([
        results("<script>alert(1)</script>\" onfocus='x'", &hits),
        not_found(),
    ]);
    for html in all {
        for forbidden in ["<script", "<style", " style=\"", "javascript:", "<iframe"] {
            assert!(!html.contains(forbidden), "{forbidden}: {html}");
        }
        assert_eq!(html.matches("<main>").count(), 1);
    }
}

#[test]
fn pages_are_named_once_and_say_something() {
    let slugs: HashSet<&str> = pages().iter().map(|page| page.slug).collect();
    assert_eq!(slugs.len(), pages().len());
    for page in pages() {
        assert!(page.html.contains("<h1"), "{}", page.slug);
        assert!(!page.sections.is_empty(), "{}", page.slug);
        assert!(!["search", "style.css"].contains(&page.slug));
    }
}

#[test]
fn excerpts_read_as_the_page_does() {
    let hits = search("add an api key");
    let shown: Vec<&str> = hits.iter().map(|hit| hit.excerpt.as_str()).collect();
    let sentence = "and does not enter the sandbox. Which kinds there are,";
    assert!(shown.iter().any(|it| it.contains(sentence)), "{shown:#?}");
}

#[test]
fn a_search_takes_whatever_is_typed() {
    assert!(search("").is_empty());
    assert!(search("the of and").is_empty());
    assert!(search("zzzzzz").is_empty());
    assert!(!search(&"session ".repeat(10_000)).is_empty());
    assert!(search("\u{0}\u{202e}<>&\"'").is_empty());
}
