//! The results drawn, as SVG: a line for each contestant where run lengths were tried, and bars where
//! a case stands alone.

use core::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::case::Load;
use crate::report::number;
use crate::results::{CaseResult, Results};

/// What belongs into one picture.
enum Panel<'a> {
    /// The same load with longer and longer runs, in their order.
    Lines(String, Vec<(u32, &'a CaseResult)>),
    Bars(&'a CaseResult),
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws all cases, and says what it looks like.
pub fn draw(results: &Results) -> Result<String, Box<dyn Error>> {
    let panels = panels(&results.cases);
    let names = names(&results.cases);
    let rows = panels.len().div_ceil(COLUMNS).max(1);
    let mut svg = String::new();
    {
        let size = (
            COLUMNS as u32 * PANEL_WIDTH,
            rows as u32 * PANEL_HEIGHT + LEGEND_HEIGHT,
        );
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (legend, rest) = root.split_vertically(LEGEND_HEIGHT);
        draw_legend(&legend, &names)?;
        for (area, panel) in rest.split_evenly((rows, COLUMNS)).iter().zip(&panels) {
            match panel {
                Panel::Lines(title, cases) => draw_lines(area, title, cases, &names)?,
                Panel::Bars(case) => draw_bars(area, case)?,
            }
        }
        root.present()?;
    }
    Ok(svg)
}

fn panels(cases: &[CaseResult]) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for case in cases {
        let Some((title, length)) = series(case) else {
            panels.push(Panel::Bars(case));
            continue;
        };
        match panels.last_mut() {
            Some(Panel::Lines(last, lengths)) if *last == title => lengths.push((length, case)),
            _ => panels.push(Panel::Lines(title, vec![(length, case)])),
        }
    }
    for panel in &mut panels {
        if let Panel::Lines(_, lengths) = panel
            && let [(_, only)] = lengths[..]
        {
            *panel = Panel::Bars(only);
        }
    }
    panels
}

/// What a case has in common with those that differ in the length of runs alone, and that length.
fn series(case: &CaseResult) -> Option<(String, u32)> {
    let length = match case.load {
        Load::UdpEcho { run, .. } | Load::UdpSink { run, .. } => run,
        Load::FanOut { frame, .. } => frame,
        Load::TcpEcho { .. }
        | Load::UdpLatency { .. }
        | Load::TcpLatency { .. }
        | Load::TcpMemory { .. }
        | Load::TcpIdle { .. }
        | Load::UdpIdle { .. } => return None,
    };
    let (title, _) = case.name.rsplit_once('/')?;
    Some((title.to_owned(), u32::try_from(length).ok()?))
}

/// All contestants, in the order of the tables.
fn names(cases: &[CaseResult]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in cases.iter().flat_map(|case| &case.rows) {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    names
}

fn colour(name: &str) -> RGBColor {
    let known = COLOURS.iter().find(|(own, _)| *own == name);
    let (red, green, blue) = known.map_or(UNKNOWN, |&(_, colour)| colour);
    RGBColor(red, green, blue)
}

fn draw_legend(area: &Area<'_>, names: &[&str]) -> Result<(), Box<dyn Error>> {
    for (place, name) in names.iter().enumerate() {
        let (column, row) = (
            (place % LEGEND_COLUMNS) as i32,
            (place / LEGEND_COLUMNS) as i32,
        );
        let (x, y) = (20 + column * 185, 14 + row * 20);
        let style = colour(name).filled();
        area.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], style))?;
        area.draw(&Text::new((*name).to_owned(), (x + 18, y), font(13)))?;
    }
    Ok(())
}

fn draw_lines(
    area: &Area<'_>,
    title: &str,
    cases: &[(u32, &CaseResult)],
    names: &[&str],
) -> Result<(), Box<dyn Error>> {
    let figures = cases.iter().flat_map(|(_, case)| &case.rows);
    let figures = figures.filter_map(|row| row.median(|round| Some(round.figure)));
    let figures = figures.filter(|figure| *figure > 0.0);
    let (least, most) = figures.fold((f64::INFINITY, 1.0f64), |(least, most), figure| {
        (least.min(figure), most.max(figure))
    });
    let lengths = (cases[0].0, cases[cases.len() - 1].0);
    let unit = cases[0].1.load.unit().name;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{title}: {unit} by run length"), font(15))
        .margin(10)
        .x_label_area_size(26)
        .y_label_area_size(78)
        .build_cartesian_2d(
            (f64::from(lengths.0)..f64::from(lengths.1))
                .log_scale()
                .base(2.0),
            (least.min(most) * 0.8..most * 1.25).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&|length| format!("{length:.0}"))
        .y_label_formatter(&|figure| number(*figure))
        .label_style(font(11))
        .draw()?;
    for name in names {
        let points: Vec<(f64, f64)> = (cases.iter())
            .filter_map(|(length, case)| {
                let figure = case.row(name)?.median(|round| Some(round.figure))?;
                (figure > 0.0).then_some((f64::from(*length), figure))
            })
            .collect();
        let style = colour(name).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let points = points.into_iter();
        chart.draw_series(points.map(|point| Circle::new(point, 3, style.filled())))?;
    }
    Ok(())
}

fn draw_bars(area: &Area<'_>, case: &CaseResult) -> Result<(), Box<dyn Error>> {
    let bars: Vec<(&str, f64)> = (case.rows.iter())
        .filter_map(|row| Some((row.name.as_str(), row.median(|round| Some(round.figure))?)))
        .collect();
    let most = bars
        .iter()
        .fold(0.0f64, |most, (_, figure)| most.max(*figure));
    let unit = case.load.unit();
    let title = format!("{}: {}", case.name, unit.name);
    area.draw(&Text::new(title, (20, 12), font(15)))?;
    let step = (PANEL_HEIGHT as i32 - 50) / bars.len().max(1) as i32;
    let width = f64::from(PANEL_WIDTH) - 270.0;
    for (place, (name, figure)) in bars.iter().enumerate() {
        let y = 40 + place as i32 * step;
        let end = 150 + (width * figure / most.max(f64::MIN_POSITIVE)) as i32;
        let right = font(12).pos(Pos::new(HPos::Right, VPos::Top));
        area.draw(&Text::new((*name).to_owned(), (144, y), right))?;
        let style = colour(name).filled();
        area.draw(&Rectangle::new([(150, y), (end, y + step * 3 / 4)], style))?;
        area.draw(&Text::new(number(*figure), (end + 6, y), font(12)))?;
    }
    Ok(())
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// Floors are grey, ours are warm, others are cold.
const COLOURS: [(&str, (u8, u8, u8)); 19] = [
    ("floor", (90, 90, 90)),
    ("floor-poll", (140, 140, 140)),
    ("floor-polling", (170, 170, 170)),
    ("floor-io-uring", (195, 195, 195)),
    ("floor-bare", (215, 215, 215)),
    ("ours-mio", (213, 94, 0)),
    ("ours-polling", (230, 159, 0)),
    ("ours-poll", (204, 60, 60)),
    ("ours-io-uring", (240, 120, 110)),
    ("ours-mio-spinning", (250, 190, 140)),
    ("ours-polling-spinning", (250, 220, 150)),
    ("ours-poll-spinning", (240, 170, 170)),
    ("ours-io-uring-spinning", (250, 200, 195)),
    ("tokio", (0, 70, 140)),
    ("mio", (86, 180, 233)),
    ("quinn-udp", (0, 158, 115)),
    ("monoio", (120, 94, 240)),
    ("predecessor-poll", (60, 60, 20)),
    ("predecessor-polling", (140, 130, 60)),
];
const UNKNOWN: (u8, u8, u8) = (0, 0, 0);

const COLUMNS: usize = 2;
const PANEL_WIDTH: u32 = 600;
const PANEL_HEIGHT: u32 = 300;
const LEGEND_COLUMNS: usize = 6;
const LEGEND_HEIGHT: u32 = 100;
