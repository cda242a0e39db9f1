//! Parts over time as a drawing: axes with units, a title, limits as lines. Knows nothing of how they came to be.

use std::fmt::Write as _;

use pumphouse_core::moment::Time;

use super::Findings;
use super::chart::round_up;
use super::text::{grouped, spoken};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 60.0;
const TICKS: u32 = 5;

/// The drawing.
pub(super) fn drawing(findings: &Findings) -> String {
    let (scenario, outcome) = (&findings.design.scenario, &findings.outcome);
    let most = outcome.samples.iter().map(|sample| sample.parts).max().unwrap_or(1).max(1);
    let limits = scenario.tables[0].limits;
    let named = [
        ("inserts are delayed from here (parts_to_delay_insert)", limits.delay_at),
        ("inserts are refused from here (parts_to_throw_insert)", limits.refuse_at),
    ];
    // A limit far above everything that happened would press the line to the ground; the corner names it instead.
    let (near, far): (Vec<_>, Vec<_>) = named
        .into_iter()
        .filter(|(_, limit)| *limit > 0)
        .partition(|(_, limit)| *limit <= most.saturating_mul(5));
    let top = round_up(near.iter().map(|(_, limit)| *limit).fold(most, u64::max));
    let seconds = scenario.span.as_secs_f64().max(0.001);
    let scale = Scale { seconds, top: as_f64(top) };
    let title = format!(
        "Stream {} at {} rows/s: active parts of the fullest table partition",
        findings.design.stream,
        grouped(scenario.rate)
    );
    let mut svg = head(&title);
    axes(&mut svg, &scale);
    for (name, limit) in near {
        line_of_limit(&mut svg, &scale, name, limit);
    }
    for ((name, limit), row) in far.into_iter().zip(0_u32..) {
        let y = TOP + 14.0 + 16.0 * f64::from(row);
        let x = WIDTH - RIGHT - 6.0;
        put(
            &mut svg,
            &format!(
                "<text x='{x}' y='{y}' text-anchor='end' class='limit'>above the picture: {name}, {limit}</text>"
            ),
        );
    }
    let points = outcome.samples.iter().map(|sample| {
        let at = sample.at.since(Time(0)).as_secs_f64();
        format!("{:.1},{:.1}", scale.x(at), scale.y(as_f64(sample.parts)))
    });
    put(&mut svg, &format!("<polyline class='parts' points='{}'/>", points.collect::<Vec<_>>().join(" ")));
    put(&mut svg, "</svg>");
    svg
}

struct Scale {
    seconds: f64,
    top: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds
    }

    fn y(&self, parts: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (parts / self.top).min(1.0)
    }
}

fn head(title: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' \
         role='img' aria-label='{title}'>\n\
         <style>text{{font:13px sans-serif;fill:#222}} .title{{font-size:16px;font-weight:bold}} \
         .grid{{stroke:#ddd}} .axis{{stroke:#222}} .parts{{fill:none;stroke:#0b62a4;stroke-width:1.5}} \
         line.limit{{stroke:#b3261e;stroke-dasharray:6 4}} text.limit{{fill:#b3261e}}</style>\n\
         <rect width='100%' height='100%' fill='#fff'/>\n\
         <text class='title' x='{LEFT}' y='30'>{title}</text>\n"
    )
}

fn axes(svg: &mut String, scale: &Scale) {
    let (bottom, right) = (scale.y(0.0), WIDTH - RIGHT);
    for tick in 0..=TICKS {
        let share = f64::from(tick) / f64::from(TICKS);
        let (parts, seconds) = (scale.top * share, scale.seconds * share);
        let (x, y) = (scale.x(seconds), scale.y(parts));
        put(svg, &format!("<line class='grid' x1='{LEFT}' y1='{y:.1}' x2='{right}' y2='{y:.1}'/>"));
        let label = if scale.top < 5.0 { format!("{parts:.1}") } else { grouped(parts) };
        put(svg, &format!("<text x='{}' y='{:.1}' text-anchor='end'>{label}</text>", LEFT - 8.0, y + 4.0));
        let time =
            if tick == 0 { "0".to_owned() } else { spoken(std::time::Duration::from_secs_f64(seconds)) };
        put(svg, &format!("<text x='{x:.1}' y='{:.1}' text-anchor='middle'>{time}</text>", bottom + 20.0));
    }
    put(svg, &format!("<line class='axis' x1='{LEFT}' y1='{bottom}' x2='{right}' y2='{bottom}'/>"));
    put(svg, &format!("<line class='axis' x1='{LEFT}' y1='{TOP}' x2='{LEFT}' y2='{bottom}'/>"));
    let middle = f64::midpoint(LEFT, right);
    put(
        svg,
        &format!("<text x='{middle}' y='{}' text-anchor='middle'>time from the start</text>", bottom + 44.0),
    );
    let half = f64::midpoint(TOP, bottom);
    put(
        svg,
        &format!(
            "<text transform='translate(20 {half}) rotate(-90)' text-anchor='middle'>active parts (number)</text>"
        ),
    );
}

fn line_of_limit(svg: &mut String, scale: &Scale, name: &str, limit: u64) {
    let (y, right) = (scale.y(as_f64(limit)), WIDTH - RIGHT);
    put(svg, &format!("<line class='limit' x1='{LEFT}' y1='{y:.1}' x2='{right}' y2='{y:.1}'/>"));
    put(svg, &format!("<text class='limit' x='{}' y='{:.1}'>{name}: {limit}</text>", LEFT + 6.0, y - 5.0));
}

fn put(svg: &mut String, element: &str) {
    // Writing into a String can't fail.
    let _ = writeln!(svg, "{element}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
