//! Traces as a page of HTML that needs nothing else: no script, nothing from elsewhere, and a policy that forbids both.
//!
//! Every text of others goes through [`escaped`]; it stands between tags or in attributes within double quotes, nowhere
//! else.

use std::fmt::Write;

use model::Timestamp;
use serde_json::Value;

use crate::terminal::{counted, instant, length, printable};
use crate::timeline::{Entry, Timeline};

/// Returns the page.
pub(super) fn render(timelines: &[Timeline]) -> String {
    let title = match timelines {
        [timeline] => escaped(&timeline.id),
        _ => counted(timelines.len(), "trace"),
    };
    let mut page =
        format!("{HEAD}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n");
    for timeline in timelines {
        write_trace(timeline, &mut page);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn write_trace(timeline: &Timeline, page: &mut String) {
    let bounds = timeline.bounds();
    let began = match bounds.0.as_nanos() {
        0 => String::new(),
        _ => instant(bounds.0.as_secs_f64()),
    };
    let duration = timeline.duration.map(length);
    let duration = duration.unwrap_or_else(|| "no segment yet".to_owned());
    let id = escaped(&timeline.id);
    let segments = counted(timeline.n_segments, "segment");
    // Writing to a string does not fail.
    let _written = writeln!(
        page,
        "<h1>{id}</h1>\n<p>{began} &middot; {duration} &middot; {segments}</p>"
    );
    for entry in &timeline.entries {
        write_entry(entry, bounds, page);
    }
}

fn write_entry(entry: &Entry, bounds: (Timestamp, Timestamp), page: &mut String) {
    let class = outcome(entry);
    let indent = entry.depth.min(DEPTH_SHOWN);
    let mut label = format!("<b>{}</b>", escaped(&entry.name));
    if let Some(kind) = &entry.kind {
        let _written = write!(label, " <i>{}</i>", escaped(kind));
    }
    let mut facts = entry.took.map_or("in progress".to_owned(), length);
    if let Some(status) = entry.status {
        let _written = write!(facts, " &middot; {status}");
    }
    for outcome in &entry.outcomes {
        let _written = write!(facts, " &middot; {outcome}");
    }
    let (left, width) = place(entry, bounds);
    let _written = writeln!(
        page,
        "<details class=\"{class}\"><summary><span class=\"label\" style=\"padding-left:{indent}em\">{label}</span>\
         <span class=\"lane\"><span class=\"bar\" style=\"left:{left:.3}%;width:{width:.3}%\"></span></span>\
         <span class=\"facts\">{facts}</span></summary>\n<pre>{}</pre></details>",
        escaped(&document(&entry.document))
    );
}

/// Returns where an entry begins in its trace and how long it lasts, in percent.
fn place(entry: &Entry, (first, last): (Timestamp, Timestamp)) -> (f64, f64) {
    let whole = last.since(first).as_secs_f64();
    let Some(start) = entry.start.filter(|_| whole > 0.0) else {
        return (0.0, 100.0);
    };
    let end = entry.end.unwrap_or(last);
    let left = start.since(first).as_secs_f64() / whole * 100.0;
    let width = end.since(start).as_secs_f64() / whole * 100.0;
    (left.min(100.0), width.min(100.0 - left.min(100.0)))
}

/// Returns the class of an entry: the worst that came of it.
fn outcome(entry: &Entry) -> &'static str {
    let classes = ["fault", "throttle", "error"];
    let class = classes
        .into_iter()
        .find(|class| entry.outcomes.contains(class));
    class.unwrap_or(if entry.end.is_some() { "ok" } else { "open" })
}

fn document(document: &Value) -> String {
    if document.is_null() {
        return "unreadable document".to_owned();
    }
    serde_json::to_string_pretty(document).unwrap_or_default()
}

/// Returns a text of others so that it is text and nothing else, between tags and in attributes within quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        for char in printable(line).chars() {
            match char {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                _ => escaped.push(char),
            }
        }
        escaped.push_str(end);
    }
    escaped
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"viewport\" content=\"width=device-width\">
";
const STYLE: &str = "
:root{color-scheme:light dark;font:14px/1.4 system-ui,sans-serif}
body{margin:1em}
h1{font:600 1.1em monospace;margin:1.5em 0 0}
p{margin:.2em 0 .8em;opacity:.7}
summary{display:flex;gap:1em;cursor:pointer;padding:.1em 0}
summary:hover{background:#8882}
summary::before{content:\"\\25b8\";opacity:.6}
details[open]>summary::before{content:\"\\25be\"}
summary::-webkit-details-marker{display:none}
.label{flex:0 0 24em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.label i{opacity:.6}
.lane{flex:1;position:relative;min-width:8em;background:#8881}
.bar{position:absolute;top:.2em;bottom:.2em;min-width:2px;background:#4a90d9}
.open .bar{background:repeating-linear-gradient(45deg,#4a90d9 0 4px,#4a90d966 4px 8px)}
.error .bar{background:#d9a400}
.throttle .bar{background:#a04ad9}
.fault .bar{background:#d93025}
.facts{flex:0 0 16em;white-space:nowrap}
pre{margin:.3em 0 .8em 2em;overflow:auto;background:#8881;padding:.6em}
";
/// Beyond this indentation says nothing any more and takes the room of names.
const DEPTH_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::tests::timeline;

    fn body(documents: &[&str], duration: Option<f64>) -> String {
        let page = render(&[timeline(documents, duration)]);
        let (_, body) = page.split_once("<body>\n").unwrap();
        body.to_owned()
    }

    #[test]
    fn a_trace_is_a_page() {
        let documents = [
            r#"{"id": "a", "name": "front", "origin": "AWS::Lambda", "start_time": 1700000000, "end_time": 1700000002, "http": {"response": {"status": 500}}, "fault": true,
                "subsegments": [{"id": "b", "name": "call", "namespace": "remote", "start_time": 1700000001.5}]}"#,
        ];
        insta::assert_snapshot!(body(&documents, Some(2.0)), @r#"
        <h1>1-2-3</h1>
        <p>2023-11-14T22:13:20Z &middot; 2000.0 ms &middot; 1 segment</p>
        <details class="fault"><summary><span class="label" style="padding-left:0em"><b>front</b> <i>AWS::Lambda</i></span><span class="lane"><span class="bar" style="left:0.000%;width:100.000%"></span></span><span class="facts">2000.0 ms &middot; 500 &middot; fault</span></summary>
        <pre>{
          &quot;end_time&quot;: 1700000002,
          &quot;fault&quot;: true,
          &quot;http&quot;: {
            &quot;response&quot;: {
              &quot;status&quot;: 500
            }
          },
          &quot;id&quot;: &quot;a&quot;,
          &quot;name&quot;: &quot;front&quot;,
          &quot;origin&quot;: &quot;AWS::Lambda&quot;,
          &quot;start_time&quot;: 1700000000
        }</pre></details>
        <details class="open"><summary><span class="label" style="padding-left:1em"><b>call</b> <i>remote</i></span><span class="lane"><span class="bar" style="left:75.000%;width:25.000%"></span></span><span class="facts">in progress</span></summary>
        <pre>{
          &quot;id&quot;: &quot;b&quot;,
          &quot;name&quot;: &quot;call&quot;,
          &quot;namespace&quot;: &quot;remote&quot;,
          &quot;start_time&quot;: 1700000001.5
        }</pre></details>
        </body>
        </html>
        "#);
    }

    #[test]
    fn texts_of_others_stay_text() {
        let hostile = "</pre></title><script>alert(1)</script><img src=x onerror=\\\"alert(1)\\\">'&\\u001b[2J";
        let document = format!(
            r#"{{"id": "{hostile}", "name": "{hostile}", "origin": "{hostile}", "annotations": {{"{hostile}": "{hostile}"}}, "http": {{"request": {{"url": "javascript:{hostile}"}}}}}}"#
        );
        let mut timeline = timeline(&[&document, "<script>"], Some(1.0));
        timeline.id = "<script>\"'".to_owned();
        let page = render(&[timeline]);
        for tag in ["<script", "<img", "onerror=\"", "\u{1b}"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert!(
            page.contains("<h1>&lt;script&gt;&quot;&#39;</h1>"),
            "{page}"
        );
        assert!(
            page.contains("<b>&lt;/pre&gt;&lt;/title&gt;&lt;script&gt;alert(1)"),
            "{page}"
        );
        // Every tag is one of those written here.
        let tags = page.split('<').skip(1).filter_map(|tag| {
            tag.split(|char: char| !char.is_ascii_alphanumeric() && char != '/' && char != '!')
                .next()
        });
        for tag in tags {
            let name = tag.trim_start_matches(['/', '!']);
            assert!(TAGS.contains(&name), "{tag} in {page}");
        }
    }

    #[test]
    fn what_opens_has_a_mark_and_counts_agree() {
        let page = render(&[timeline(&[r#"{"name": "a"}"#], Some(1.0))]);
        assert!(page.contains("&middot; 1 segment</p>"), "{page}");
        for mark in [
            "summary::before{content:\"\\25b8\"",
            "[open]>summary::before{content:\"\\25be\"",
        ] {
            assert!(page.contains(mark), "{mark} in {page}");
        }
    }

    const TAGS: &[&str] = &[
        "DOCTYPE", "html", "head", "meta", "title", "style", "body", "h1", "p", "details",
        "summary", "span", "b", "i", "pre",
    ];

    #[test]
    fn nothing_comes_from_elsewhere() {
        let page = render(&[timeline(&[r#"{"name": "a"}"#], None)]);
        for reference in [
            "src=", "href=", "url(", "@import", "http://", "https://", "<link",
        ] {
            assert!(!page.contains(reference), "{reference} in {page}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    fn check(document: &str, other: &str, left: f64, width: f64) {
        let timeline = timeline(&[document, other], None);
        let bounds = timeline.bounds();
        let entry = timeline.entries.iter().find(|entry| entry.name == "x");
        assert_eq!(place(entry.unwrap(), bounds), (left, width), "{document}");
    }

    #[test]
    fn bars_stand_where_the_time_is() {
        let other = r#"{"start_time": 10, "end_time": 20}"#;
        check(
            r#"{"name": "x", "start_time": 10, "end_time": 20}"#,
            other,
            0.0,
            100.0,
        );
        check(
            r#"{"name": "x", "start_time": 15, "end_time": 17.5}"#,
            other,
            50.0,
            25.0,
        );
        check(r#"{"name": "x", "start_time": 15}"#, other, 50.0, 50.0);
        check(r#"{"name": "x"}"#, other, 0.0, 100.0);
        check(
            r#"{"name": "x", "start_time": 15, "end_time": 12}"#,
            other,
            50.0,
            0.0,
        );
        check(r#"{"name": "x", "start_time": 10}"#, "{}", 0.0, 100.0);
    }
}
