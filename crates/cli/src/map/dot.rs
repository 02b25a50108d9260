//! A graph in the language of Graphviz ("The DOT Language", "escString").

use std::fmt::Write;

use super::Graph;
use crate::figures::{Figures, percent};
use crate::terminal::{length, printable};

/// Returns the graph for Graphviz.
pub(super) fn render(graph: &Graph) -> String {
    let mut text =
        "digraph services {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n".to_owned();
    // Writing to a string does not fail.
    for (place, node) in graph.nodes.iter().enumerate() {
        let mut lines = vec![quoted(&node.name)];
        lines.extend(node.kind.as_deref().map(quoted));
        lines.extend(node.figures.as_ref().map(told));
        let label = lines.join("\\n");
        let colour = colour(node.figures.as_ref());
        let _written = writeln!(text, "  n{place} [label=\"{label}\", color={colour}];");
    }
    for (place, node) in graph.nodes.iter().enumerate() {
        for call in &node.calls {
            let (to, label) = (call.to, told(&call.figures));
            let colour = colour(Some(&call.figures));
            let line = if call.kind.as_deref() == Some("link") {
                ", style=dashed"
            } else {
                ""
            };
            let _written = writeln!(
                text,
                "  n{place} -> n{to} [label=\"{label}\", color={colour}{line}];"
            );
        }
    }
    text.push_str("}\n");
    text
}

/// Returns a text of others as a part of a quoted string: no quote ends it and no backslash begins an escape.
fn quoted(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// Returns figures in a line.
fn told(figures: &Figures) -> String {
    let mut text = format!("{} requests", figures.requests);
    if let Some(rate) = figures.fault_rate.filter(|rate| *rate > 0.0) {
        let _written = write!(text, ", {} faults", percent(rate));
    }
    if let Some(seconds) = figures.p50 {
        let _written = write!(text, ", p50 {}", length(seconds));
    }
    text
}

/// Returns the colour of the worst that happened.
fn colour(figures: Option<&Figures>) -> &'static str {
    match figures {
        Some(figures) if figures.faults > 0 => "red",
        Some(figures) if figures.throttles > 0 => "purple",
        Some(figures) if figures.errors > 0 => "orange",
        Some(_) | None => "gray40",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{graph, small};
    use super::*;

    #[test]
    fn a_graph_is_written_for_graphviz() {
        insta::assert_snapshot!(render(&small()), @r#"
        digraph services {
          rankdir=LR;
          node [shape=box, style=rounded];
          n0 [label="a \"b\"�\n2 requests, 50.0% faults, p50 500.0 ms", color=red];
          n1 [label="shop\nAWS::EC2::Instance\n2 requests, 50.0% faults, p50 500.0 ms", color=red];
          n2 [label="shop\nclient", color=gray40];
          n2 -> n1 [label="2 requests, 50.0% faults, p50 500.0 ms", color=red];
        }
        "#);
    }

    #[test]
    fn no_name_leaves_its_quotes() {
        let check = |name: &str, label: &str| {
            let text = render(&graph(json!([{ "ReferenceId": 0, "Name": name }])));
            let expected = format!("  n0 [label=\"{label}\", color=gray40];");
            assert_eq!(text.lines().nth(3), Some(expected.as_str()));
        };
        check("\"]; n1 [label=\"", "\\\"]; n1 [label=\\\"");
        check("ends with \\", "ends with \\\\");
        check("\\\"", "\\\\\\\"");
        check("\\N\n\\l", "\\\\N\u{fffd}\\\\l");
        check("<b>", "<b>");
    }
}
