//! The report as one page for a browser: pictures with their numbers below them. It loads nothing and runs nothing, and says so to the
//! browser.

use std::fmt::Write as _;

use super::bars::{Zone, sentences};
use super::model::{Report, Table, grouped};
use super::picture::of_table;
use super::svg::{escaped, svg};

const STYLE: &str = "\
:root{color-scheme:light}
body{margin:0;background:#f3f5f8;color:#1c2733;font:15px/1.5 system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif}
header,main{max-width:1568px;margin:0 auto;padding:24px}
header{padding-bottom:0}
h1{font-size:26px;margin:0 0 8px}
header p{margin:2px 0;color:#5b6773}
header p.first{color:#1c2733;font-size:17px}
header p.damage{color:#8a3b00;font-weight:600}
main{columns:2 540px;column-gap:24px}
section{break-inside:avoid;margin:0 0 24px;background:#fff;border-radius:8px;box-shadow:0 1px 3px rgba(28,39,51,.14);overflow:hidden}
svg{display:block;width:100%;height:auto}
details{padding:0 22px 14px}
summary{cursor:pointer;color:#5b6773}
table{border-collapse:collapse;width:100%;margin-top:8px}
th,td{padding:3px 8px;text-align:left;border-bottom:1px solid #e3e7ec}
th{color:#5b6773;font-weight:500}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.v{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;word-break:break-all;white-space:pre-wrap}
";

/// The page's text.
pub fn html(report: &Report, zone: &Zone<'_>) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>SSH honeypot</title>\n<style>\n{STYLE}</style>\n\
         <header>\n<h1>SSH honeypot</h1>\n"
    );
    for (place, line) in sentences(&report.totals, zone).iter().enumerate() {
        let class = if place == 0 { " class=\"first\"" } else { "" };
        let _ = writeln!(out, "<p{class}>{}</p>", escaped(line));
    }
    if let Some(damage) = &report.damage {
        let _ = writeln!(out, "<p class=\"damage\">{}</p>", escaped(&damage.to_string()));
    }
    out.push_str("</header>\n<main>\n");
    for table in &report.tables {
        section(&mut out, table);
    }
    out.push_str("</main>\n</html>\n");
    out
}

fn section(out: &mut String, table: &Table) {
    let _ = write!(
        out,
        "<section>\n{}<details>\n<summary>Numbers</summary>\n<table>\n\
         <tr><th></th><th>{}</th><th>Attempts</th><th>Part</th></tr>\n",
        svg(&of_table(table, |_| true)),
        escaped(&table.title())
    );
    for (rank, row) in table.rows.iter().enumerate() {
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}</td><td class=\"v\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            rank + 1,
            escaped(&row.label()),
            grouped(row.count),
            escaped(&table.share(row.count).to_string())
        );
    }
    out.push_str("</table>\n</details>\n</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{Row, Section, Totals};

    #[test]
    fn a_password_cannot_become_a_tag() {
        let row = |value: &str| Row { user: None, value: value.into(), is_hash: false, count: 3 };
        let rows = vec![
            row("</title><script>alert(1)</script>"),
            row("\"' onload='x'&amp;"),
            row("\u{0}\u{1b}\u{202e}"),
        ];
        let table = Table {
            section: Section::UserPasswords,
            user: Some(b"<b>\x01".to_vec()),
            distinct: 3,
            sum: 9,
            rows,
        };
        let report = Report { totals: Totals::default(), tables: vec![table], damage: None };
        let page = html(&report, &Zone { name: "UTC", offset: &|_| 0 });
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("'x'"), "{page}");
        assert!(page.contains("&lt;/title&gt;&lt;script&gt;") && page.contains("&amp;amp;"));
        assert!(!page.chars().any(|c| c != '\n' && super::super::visible::is_hidden(c)));
    }
}
