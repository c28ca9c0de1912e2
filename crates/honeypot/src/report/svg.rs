//! A [`Picture`] as SVG. It needs nothing beside itself, and describes itself to who cannot see it.

use std::fmt::Write as _;

use super::picture::{Anchor, Face, Picture, Shape};

const STYLE: &str = "text{font-family:'DejaVu Sans',Verdana,system-ui,sans-serif;white-space:pre}\
.b{font-weight:700}.m{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace}";

/// The file's text.
pub fn svg(picture: &Picture) -> String {
    let (width, height) = (picture.width, picture.height);
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
    );
    let _ = writeln!(out, "<title>{}</title>", escaped(&picture.title));
    let _ = writeln!(out, "<desc>{}</desc>", escaped(&picture.description));
    let _ = writeln!(out, "<style>{STYLE}</style>");
    for shape in &picture.shapes {
        let _ = match shape {
            Shape::Rect { x, y, width, height, fill } => writeln!(
                out,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
            ),
            Shape::Text { x, y, size, face, anchor, fill, text } => {
                let face = match face {
                    Face::Sans => "",
                    Face::Bold => r#" class="b""#,
                    Face::Mono => r#" class="m""#,
                };
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => r#" text-anchor="middle""#,
                    Anchor::End => r#" text-anchor="end""#,
                };
                let text = escaped(text);
                writeln!(
                    out,
                    r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}"{face}{anchor} fill="{fill}">{text}</text>"#
                )
            }
        };
    }
    out.push_str("</svg>\n");
    out
}

/// Text that is only text wherever it stands in XML and HTML, attributes included. Controls are not for this: they were made visible.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}
