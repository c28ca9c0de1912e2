//! The tables of keys in the documentation, made from the definition of the keys.

use std::fmt::Write;

use super::{About, Config};

/// Every section and key, with default and meaning, as Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for About { name, help, keys } in Config::about() {
        let title = if name.is_empty() { "The top of the file".to_owned() } else { format!("`{name}`") };
        // Writing to a String cannot fail.
        let _ = write!(text, "### {title}\n\n{help}\n");
        if keys.is_empty() {
            text.push('\n');
            continue;
        }
        text.push_str("\n| key | default | meaning |\n| --- | --- | --- |\n");
        for key in keys {
            let default = key
                .default
                .map_or_else(|| format!("none; such as `{}`", key.sample), |default| format!("`{default}`"));
            let _ = writeln!(text, "| `{}` | {default} | {} |", key.name, key.help);
        }
        text.push('\n');
    }
    text
}
