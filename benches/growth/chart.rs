//! Draws a figure, as SVG: both axes logarithmic, a line for each curve, and its name beside its
//! end.

use core::error::Error;
use std::path::Path;

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, EmptyElement, IntoDrawingArea, IntoFont, IntoLogRange,
    LineSeries, RGBColor, SVGBackend, Text, TextStyle, WHITE,
};

use super::{Figure, Measured};

/// Draws into a file.
pub(crate) fn draw(
    path: &Path,
    figure: &Figure,
    measured: &[Measured],
) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let points = measured.iter().flat_map(|curve| &curve.points);
    let (mut size_max, mut least, mut most) = (10, f64::INFINITY, 0.0f64);
    for point in points {
        size_max = size_max.max(point.size);
        least = least.min(point.nanos[1]);
        most = most.max(point.nanos[1]);
    }
    let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}, ns", figure.title), font(17))
        .margin(12)
        .margin_right(ROOM_FOR_NAMES)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (1.0..f64::from(size_max)).log_scale(),
            // A decade and more, so that what is flat looks flat.
            (least.min(most / 30.0) * 0.7..most * 1.6).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(figure.axis)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|size| grouped(*size))
        .y_label_formatter(&|nanos| grouped(*nanos))
        .label_style(font(12))
        .draw()?;
    let mut heights = Vec::new();
    for (place, curve) in measured.iter().enumerate() {
        let points: Vec<(f64, f64)> = curve
            .points
            .iter()
            .map(|point| (f64::from(point.size), point.nanos[1]))
            .collect();
        let (red, green, blue) = COLOURS[place % COLOURS.len()];
        let colour = RGBColor(red, green, blue);
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        let dots = points.iter().map(|&at| Circle::new(at, 3, colour.filled()));
        chart.draw_series(dots)?;
        if let Some(&end) = points.last() {
            let (_, height) = chart.backend_coord(&end);
            let shift = free_height(&mut heights, height) - height;
            let style = ("sans-serif", 13).into_font().color(&colour);
            let name = Text::new(curve.name.clone(), (10, shift - 7), style);
            chart.draw_series([EmptyElement::at(end) + name])?;
        }
    }
    root.present()?;
    Ok(())
}

/// The place nearest to a height where no other name is.
fn free_height(taken: &mut Vec<i32>, wanted: i32) -> i32 {
    let steps = (0..).flat_map(|step| [wanted - step, wanted + step]);
    let mut free = steps.filter(|height| {
        let far = |other: &i32| (other - height).abs() >= NAME_HEIGHT;
        taken.iter().all(far)
    });
    let height = free.next().unwrap_or(wanted);
    taken.push(height);
    height
}

/// A number with a comma for each thousand.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|&digit| char::from(digit)));
    }
    text
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

const WIDTH: u32 = 820;
const HEIGHT: u32 = 400;
const ROOM_FOR_NAMES: i32 = 250;
const NAME_HEIGHT: i32 = 16;

/// Apart for those who see colours otherwise, too.
const COLOURS: [(u8, u8, u8); 6] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (120, 94, 240),
    (204, 60, 60),
    (90, 90, 90),
];
