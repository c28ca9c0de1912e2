//! The picture as a file of its own: SVG, written by hand.

use std::fmt::{self, Write as _};

use super::{Chart, FEWEST_PORTS, Line, grouped, spread};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 600.0;
/// The edges of the plot.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 830.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 524.0;
/// Room at the left of the lines for what they are labelled with.
const LABELS: f64 = 142.0;

const STYLE: &str = "\
text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif; fill: #222 }
.title { font-size: 19px; font-weight: 600 }
.quiet { fill: #555 }
.halo { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round }
.grid { stroke: #e3e6ea; stroke-width: 1 }
.axis { stroke: #444; stroke-width: 1 }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.line.asked { stroke: #b83a0b; stroke-width: 2.8 }
text.asked { fill: #b83a0b; font-weight: 600 }
.clients { stroke: #b83a0b; stroke-width: 1.2; stroke-dasharray: 5 4 }
.few { fill: #8a8f98; fill-opacity: .14 }
.band { fill: #1f7a3d; fill-opacity: .15 }
.usage { stroke: #1f7a3d; stroke-width: 1.6 }
.max { stroke-dasharray: 6 4 }
.median { stroke-dasharray: 2 4 }
text.usage { fill: #1f7a3d; stroke-width: 0; font-weight: 600 }
";

impl Chart<'_> {
    /// The picture as an SVG file. It needs nothing beside itself, and describes itself to who cannot see it.
    pub fn svg(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write_svg(&mut text);
        text
    }

    fn write_svg(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title desc">"#
        )?;
        writeln!(out, "<title id=\"title\">Ports per client</title>")?;
        writeln!(out, "<desc id=\"desc\">{}</desc>", self.description())?;
        writeln!(out, "<style>\n{STYLE}</style>")?;
        writeln!(
            out,
            r#"<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{}" height="{}"/></clipPath>"#,
            RIGHT - LEFT,
            BOTTOM - TOP
        )?;
        writeln!(out, r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>"##)?;
        writeln!(out, r#"<text class="title" x="{LEFT}" y="36">Ports per client</text>"#)?;
        writeln!(out, r#"<text class="quiet" x="{LEFT}" y="58">{}</text>"#, self.subtitle())?;
        let scale = Scale::new(self);
        self.write_areas(out, &scale)?;
        scale.write_axes(out)?;
        self.write_lines(out, &scale)?;
        self.write_usage(out, &scale)?;
        self.write_labels(out, &scale)?;
        self.write_asked(out, &scale)?;
        writeln!(out, "</svg>")
    }

    fn description(&self) -> String {
        let mut text = "Both axes are logarithmic. Each line is for one number of public addresses and falls as clients \
                        become more."
            .to_owned();
        if let Some(row) = self.table.rows.iter().find(|row| row.is_asked) {
            let each = self.table.public.iter().zip(&row.ports);
            let each: Vec<String> = each
                .map(|(public, ports)| format!("{} with {}", grouped(*ports), addresses(*public)))
                .collect();
            let _ = write!(text, " Ports of each of {} clients: {}.", grouped(row.clients), each.join(", "));
        }
        if let Some(usage) = self.usage {
            let _ = write!(
                text,
                " Clients had at once: half of them at most {}, 99 of 100 at most {}, the busiest {} ports.",
                grouped(usage.median),
                grouped(usage.p99),
                grouped(usage.max)
            );
        }
        text
    }

    fn write_areas(&self, out: &mut String, scale: &Scale) -> fmt::Result {
        let few = scale.y(f64::from(FEWEST_PORTS).log2());
        let width = RIGHT - LEFT;
        writeln!(
            out,
            r#"<rect class="few" x="{LEFT}" y="{few:.1}" width="{width}" height="{:.1}"/>"#,
            BOTTOM - few
        )?;
        if let [_, (_, p99), (_, median)] = self.usage_labels()[..] {
            let (top, bottom) = (scale.y(p99), scale.y(median));
            let height = bottom - top;
            writeln!(
                out,
                r#"<rect class="band" x="{LEFT}" y="{top:.1}" width="{width}" height="{height:.1}"/>"#
            )?;
        }
        Ok(())
    }

    fn write_lines(&self, out: &mut String, scale: &Scale) -> fmt::Result {
        let lines = self.lines();
        // The asked ones last, so that they lie on top.
        for line in
            lines.iter().filter(|line| !line.is_asked).chain(lines.iter().filter(|line| line.is_asked))
        {
            let points: Vec<String> =
                line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y))).collect();
            let look = if line.is_asked {
                r#"class="line asked""#.to_owned()
            } else {
                format!(r#"class="line" stroke="{}""#, shade(line, &lines))
            };
            writeln!(out, r#"<polyline {look} clip-path="url(#plot)" points="{}"/>"#, points.join(" "))?;
        }
        Ok(())
    }

    fn write_usage(&self, out: &mut String, scale: &Scale) -> fmt::Result {
        let labels = self.usage_labels();
        for ((_, ports), class) in labels.iter().zip(["max", "p99", "median"]) {
            let y = scale.y(*ports);
            writeln!(
                out,
                r#"<line class="usage {class}" x1="{LEFT}" y1="{y:.1}" x2="{}" y2="{y:.1}"/>"#,
                RIGHT + 6.0
            )?;
        }
        let mut places: Vec<f64> = labels.iter().map(|(_, ports)| scale.y(*ports)).collect();
        spread(&mut places, 16.0);
        for ((text, _), y) in labels.iter().zip(&places) {
            writeln!(out, r#"<text class="usage" x="{}" y="{:.1}">{text}</text>"#, RIGHT + 12.0, y + 4.5)?;
        }
        if let Some(y) = places.first() {
            writeln!(
                out,
                r#"<text class="quiet" x="{}" y="{:.1}">used at once</text>"#,
                RIGHT + 12.0,
                y - 13.0
            )?;
        }
        Ok(())
    }

    /// What lines are labelled with, on top of all that they could cross.
    fn write_labels(&self, out: &mut String, scale: &Scale) -> fmt::Result {
        let y = scale.y(f64::from(FEWEST_PORTS).log2()) + 18.0;
        writeln!(
            out,
            r#"<text class="quiet halo" x="{}" y="{y:.1}">fewer than {FEWEST_PORTS}: too little in practice</text>"#,
            LEFT + 10.0
        )?;
        let lines = self.lines();
        let x = scale.x(f64::from(scale.clients.0)) - 9.0;
        // From the top: the most addresses first.
        let mut places: Vec<f64> = lines.iter().rev().map(|line| scale.y(line.points[0].1)).collect();
        spread(&mut places, 15.0);
        for (line, y) in lines.iter().rev().zip(places).filter(|(_, y)| *y < BOTTOM) {
            let class = if line.is_asked { "asked halo" } else { "halo" };
            let text = addresses(line.public);
            writeln!(
                out,
                r#"<text class="{class}" x="{x:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                y + 4.5
            )?;
        }
        Ok(())
    }

    /// The number of clients that was asked about, and what they get.
    fn write_asked(&self, out: &mut String, scale: &Scale) -> fmt::Result {
        let Some(row) = self.table.rows.iter().find(|row| row.is_asked) else { return Ok(()) };
        let x = scale.x((row.clients as f64).log2());
        let top = TOP - 6.0;
        writeln!(out, r#"<line class="clients" x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{BOTTOM}"/>"#)?;
        // At the edges the text turns inward.
        let anchor = if x > RIGHT - 50.0 { "end" } else { "middle" };
        writeln!(
            out,
            r#"<text class="asked" x="{x:.1}" y="{}" text-anchor="{anchor}">{} clients</text>"#,
            TOP - 11.0,
            grouped(row.clients)
        )?;
        let asked = self.table.public.iter().zip(&row.ports).filter(|(public, _)| self.is_asked(**public));
        for (_, ports) in asked.filter(|(_, ports)| **ports > 0) {
            let y = scale.y(f64::from(*ports).log2());
            if y > BOTTOM {
                continue;
            }
            writeln!(
                out,
                r##"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="#b83a0b" stroke="#fff" stroke-width="1.5"/>"##
            )?;
            let (anchor, text_x) = if x > RIGHT - 90.0 { ("end", x - 9.0) } else { ("start", x + 9.0) };
            let text = grouped(*ports);
            writeln!(
                out,
                r#"<text class="asked halo" x="{text_x:.1}" y="{:.1}" text-anchor="{anchor}">{text} ports</text>"#,
                y - 7.0
            )?;
        }
        Ok(())
    }
}

fn addresses(public: u64) -> String {
    if public == 1 { "1 address".to_owned() } else { format!("{} addresses", grouped(public)) }
}

/// From a light blue for the fewest addresses to a dark one for the most.
fn shade(line: &Line, lines: &[Line]) -> String {
    let place = lines.iter().position(|other| other.public == line.public).unwrap_or(0);
    let part = place as f64 / (lines.len().max(2) - 1) as f64;
    let mix = |light: f64, dark: f64| (light + (dark - light) * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(104.0, 12.0), mix(160.0, 44.0), mix(214.0, 92.0))
}

/// From binary logarithms to places.
struct Scale {
    clients: (u32, u32),
    ports: (u32, u32),
}

impl Scale {
    fn new(chart: &Chart<'_>) -> Self {
        Self { clients: chart.client_octaves(), ports: chart.port_octaves() }
    }

    fn x(&self, octave: f64) -> f64 {
        between(octave, self.clients, LEFT + LABELS, RIGHT - 24.0)
    }

    /// Below the lower edge for less than that.
    fn y(&self, octave: f64) -> f64 {
        between(octave, self.ports, BOTTOM, TOP + 8.0)
    }

    fn write_axes(&self, out: &mut String) -> fmt::Result {
        for octave in self.ports.0..=self.ports.1 {
            let y = self.y(f64::from(octave));
            writeln!(out, r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>"#)?;
            let text = grouped(1_u64 << octave);
            writeln!(out, r#"<text x="{}" y="{:.1}" text-anchor="end">{text}</text>"#, LEFT - 10.0, y + 4.5)?;
        }
        // Numbers of up to nine characters stand beside each other.
        let step = (self.clients.1 - self.clients.0).div_ceil(11).max(1);
        for octave in (self.clients.0..=self.clients.1).step_by(step as usize) {
            let x = self.x(f64::from(octave));
            writeln!(out, r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{BOTTOM}"/>"#)?;
            let text = grouped(1_u64 << octave);
            writeln!(out, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{text}</text>"#, BOTTOM + 20.0)?;
        }
        writeln!(out, r#"<path class="axis" fill="none" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>"#)?;
        let (middle_x, middle_y) = (f64::midpoint(LEFT + LABELS, RIGHT), f64::midpoint(TOP, BOTTOM));
        writeln!(
            out,
            r#"<text class="quiet" x="{middle_x}" y="{}" text-anchor="middle">clients</text>"#,
            BOTTOM + 46.0
        )?;
        writeln!(
            out,
            r#"<text class="quiet" transform="translate(22 {middle_y}) rotate(-90)" text-anchor="middle">ports each client gets</text>"#
        )
    }
}

fn between(octave: f64, (first, last): (u32, u32), from: f64, to: f64) -> f64 {
    from + (octave - f64::from(first)) / f64::from(last.max(first + 1) - first) * (to - from)
}
