//! Pages as HTML.

use std::fmt::Write as _;

use crate::{Hit, PAGES, Page};

/// A text as it stands in HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// A page of the book.
pub fn render(page: &Page) -> String {
    let place = PAGES.iter().position(|it| it.slug == page.slug);
    let place = place.unwrap_or(0);
    let neighbour = |at: Option<usize>, label: &str| {
        let page = at.and_then(|at| PAGES.get(at));
        page.map_or_else(String::new, |page| {
            let title = escape(page.title);
            format!(
                "<a rel=\"{label}\" href=\"/docs/{}\">{title}</a>",
                page.slug
            )
        })
    };
    let before = neighbour(place.checked_sub(1), "prev");
    let after = neighbour(Some(place + 1), "next");
    let body = format!("{}<nav class=\"turn\">{before}{after}</nav>", page.html);
    frame(page.title, Some(page.slug), "", &body)
}

/// What was found.
pub fn results(query: &str, hits: &[Hit]) -> String {
    let mut body = String::from("<h1>Search</h1>");
    if hits.is_empty() {
        body += match query.trim() {
            "" => "<p>Type what you look for.</p>",
            _ => "<p>Nothing was found. Try fewer words, or others.</p>",
        };
    }
    for hit in hits {
        let anchor = match hit.anchor {
            "" => String::new(),
            anchor => format!("#{anchor}"),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<article><h2><a href=\"/docs/{}{}\">{}</a></h2><p class=\"in\">{}</p><p>{}</p></article>",
            hit.page.slug,
            escape(&anchor),
            escape(hit.title),
            escape(hit.page.title),
            escape(&hit.excerpt),
        );
    }
    frame("Search", None, query, &body)
}

/// There is no page of this name.
pub fn not_found() -> String {
    let body = "<h1>There is no such page</h1><p>The contents list all of them, and the search \
                finds what is in them.</p>";
    frame("There is no such page", None, "", body)
}

/// The whole document around a page's content.
fn frame(title: &str, current: Option<&str>, query: &str, body: &str) -> String {
    let mut contents = String::new();
    let mut part = "";
    for page in PAGES {
        if page.part != part {
            part = page.part;
            let _ = write!(contents, "<h2>{}</h2>", escape(part));
        }
        let here = match current == Some(page.slug) {
            true => " aria-current=\"page\"",
            false => "",
        };
        let title = escape(page.title);
        let _ = write!(
            contents,
            "<a href=\"/docs/{}\"{here}>{title}</a>",
            page.slug
        );
    }
    let (title, query) = (escape(title), escape(query));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · aod</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head>\
         <body><header><a href=\"/docs\">aod</a>\
         <form action=\"/docs/search\" role=\"search\"><input type=\"search\" name=\"q\" \
         value=\"{query}\" placeholder=\"Search\" aria-label=\"Search the documents\"></form>\
         <a class=\"to-contents\" href=\"#contents\">Contents</a><a href=\"/\">Console</a></header>\
         <div class=\"book\"><nav class=\"contents\" id=\"contents\" aria-label=\"Contents\">\
         <details open><summary>Contents</summary>{contents}</details></nav>\
         <main>{body}</main></div></body></html>\n"
    )
}
