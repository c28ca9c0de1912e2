//! The commented example of the file, made from the definition of its keys.

use std::fmt::Write;

use super::{About, Config};

/// Every section and key, explained, commented out at its default. It is a valid file, and so is it
/// uncommented.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# unmasq: configuration of `unmasq daemon`.\n\
         # Every line that is commented out shows the default, or an example where there is none.\n\
         # After a change: unmasq config check /etc/unmasq/unmasq.toml\n",
    );
    for About { name, help, keys } in Config::about() {
        let _ = write!(text, "\n# {help}\n[{name}]\n");
        for key in keys {
            text.push('\n');
            for line in key.help.lines() {
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "#{} = {}", key.name, key.sample);
        }
    }
    text
}
