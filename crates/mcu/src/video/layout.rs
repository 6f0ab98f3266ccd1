//! Where the tiles stand.

use codec::{Rect, letterbox};

use crate::types::{Layout, SourceId};

/// The most tiles of a grid, and those beside the speaker.
const MAX_GRID: usize = 16;
const MAX_STRIP: usize = 5;

/// One participant's place in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: SourceId,
    pub(super) part: Rect,
}

/// Of those who stand out, so many have a place however many others there are: a shared screen and
/// who speaks, or the two who speak in turn.
const SURE: usize = 2;

/// Places `sources` (in the order of their coming) on a canvas. `foremost` are those of them who
/// stand out, the most important first: it is large where one is, and the first [`SURE`] have a
/// place.
pub(super) fn arrange(
    layout: Layout,
    width: u32,
    height: u32,
    sources: &[SourceId],
    foremost: &[SourceId],
) -> Vec<Place> {
    let canvas = Rect::new(0, 0, width, height);
    match layout {
        _ if sources.len() <= 1 => {
            sources.iter().map(|source| Place { source: *source, part: canvas }).collect()
        }
        Layout::Grid | Layout::Single(_) => grid(canvas, &shown(sources, foremost, MAX_GRID)),
        Layout::Speaker => with_strip(canvas, sources, foremost),
    }
}

/// The first `most`; whoever stands out and stands beyond them takes a place from the end.
fn shown(sources: &[SourceId], foremost: &[SourceId], most: usize) -> Vec<SourceId> {
    let mut shown: Vec<SourceId> = sources.iter().copied().take(most).collect();
    let sure = foremost.get(..SURE).unwrap_or(foremost);
    for id in sure.iter().filter(|id| sources.contains(id)) {
        if !shown.contains(id)
            && let Some(last) = shown.iter_mut().rev().find(|it| !sure.contains(it))
        {
            *last = *id;
        }
    }
    shown
}

fn grid(canvas: Rect, sources: &[SourceId]) -> Vec<Place> {
    let (columns, rows) = match sources.len() {
        0 | 1 => (1, 1),
        2 => (2, 1),
        3 | 4 => (2, 2),
        5..=9 => (3, 3),
        _ => (4, 4),
    };
    // A row that nobody stands in would only make the others small.
    let rows = rows.min((sources.len() as u32).div_ceil(columns)).max(1);
    let gap = gap(canvas.width);
    let cell_width = (canvas.width - gap * (columns - 1)) / columns;
    let cell_height = (canvas.height - gap * (rows - 1)) / rows;
    // Tiles have the canvas' own aspect: whoever's picture has it fills the tile.
    let tile = letterbox(canvas.width, canvas.height, Rect::new(0, 0, cell_width, cell_height));
    let mut places = Vec::with_capacity(sources.len());
    for (row, line) in sources.chunks(columns as usize).enumerate() {
        let used = line.len() as u32;
        let line_width = used * tile.width + (used - 1) * gap;
        let height = rows * tile.height + (rows - 1) * gap;
        let left = canvas.width.saturating_sub(line_width) / 2;
        let top = canvas.height.saturating_sub(height) / 2 + row as u32 * (tile.height + gap);
        for (column, source) in line.iter().enumerate() {
            let x = left + column as u32 * (tile.width + gap);
            let part = Rect::new(x & !1, top & !1, tile.width, tile.height);
            places.push(Place { source: *source, part });
        }
    }
    places
}

fn with_strip(canvas: Rect, sources: &[SourceId], foremost: &[SourceId]) -> Vec<Place> {
    let mut large = foremost.iter().copied().filter(|id| sources.contains(id));
    let Some(large) = large.next().or_else(|| sources.first().copied()) else {
        return Vec::new();
    };
    let others: Vec<SourceId> = sources.iter().copied().filter(|id| *id != large).collect();
    let others = shown(&others, foremost, MAX_STRIP);
    let gap = gap(canvas.width);
    let strip = canvas.height / 5;
    let space = Rect::new(0, 0, canvas.width, canvas.height - strip - gap);
    let mut places =
        vec![Place { source: large, part: letterbox(canvas.width, canvas.height, space) }];
    let cell = Rect::new(0, 0, canvas.width / MAX_STRIP as u32 - gap, strip);
    let tile = letterbox(canvas.width, canvas.height, cell);
    let count = others.len() as u32;
    let left = canvas.width.saturating_sub(count * (tile.width + gap)) / 2;
    for (i, source) in others.into_iter().enumerate() {
        let x = left + i as u32 * (tile.width + gap);
        let y = canvas.height - strip + (strip - tile.height.min(strip)) / 2;
        let part = Rect::new(x & !1, y & !1, tile.width, tile.height);
        places.push(Place { source, part });
    }
    places
}

/// Between tiles: thin, and even.
fn gap(width: u32) -> u32 {
    (width / 320).max(1) * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u64) -> Vec<SourceId> {
        (1..=count).map(SourceId).collect()
    }

    fn overlap(a: Rect, b: Rect) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    #[test]
    fn tiles_are_inside_apart_even_and_of_the_canvas_aspect() {
        for (width, height) in [(640, 360), (1280, 720), (1920, 1080), (352, 288), (720, 1280)] {
            for layout in [Layout::Grid, Layout::Speaker] {
                for count in 1..30 {
                    let sources = ids(count);
                    let places = arrange(layout, width, height, &sources, &[SourceId(count)]);
                    let most = if layout == Layout::Grid { 16 } else { 6 };
                    assert_eq!(places.len(), (count as usize).min(most));
                    assert!(places.iter().any(|p| p.source == SourceId(count)), "the speaker");
                    for (i, Place { part: a, .. }) in places.iter().enumerate() {
                        assert!(a.x + a.width <= width && a.y + a.height <= height, "{a:?}");
                        assert!(a.x % 2 == 0 && a.y % 2 == 0 && a.width % 2 == 0);
                        assert!(places[..i].iter().all(|b| !overlap(*a, b.part)));
                        let aspect = f64::from(a.width) / f64::from(a.height);
                        let wanted = f64::from(width) / f64::from(height);
                        assert!((aspect / wanted - 1.0).abs() < 0.06, "{a:?} in {width}x{height}");
                    }
                }
            }
        }
    }

    #[test]
    fn two_stand_side_by_side_and_a_third_is_centred_below() {
        let two = arrange(Layout::Grid, 1280, 720, &ids(2), &[]);
        assert_eq!(two[0].part.y, two[1].part.y);
        assert!(two[0].part.width > 600);
        let three = arrange(Layout::Grid, 1280, 720, &ids(3), &[]);
        let middle = three[2].part.x + three[2].part.width / 2;
        assert!(middle.abs_diff(640) <= 2, "{middle}");
    }

    #[test]
    fn the_speaker_is_large_and_without_one_the_first() {
        let places = arrange(Layout::Speaker, 1280, 720, &ids(4), &[SourceId(3)]);
        assert_eq!(places[0].source, SourceId(3));
        assert!(places[0].part.width > 900 && places[1].part.width < 260);
        assert_eq!(arrange(Layout::Speaker, 1280, 720, &ids(4), &[])[0].source, SourceId(1));
    }

    #[test]
    fn a_screen_is_large_and_who_speaks_has_a_place_among_however_many() {
        let foremost = [20, 19, 18].map(SourceId);
        let speaker = arrange(Layout::Speaker, 1280, 720, &ids(20), &foremost);
        let shown: Vec<u64> = speaker.iter().map(|it| it.source.0).collect();
        assert_eq!(shown, [20, 1, 2, 3, 4, 19]);
        let grid = arrange(Layout::Grid, 1280, 720, &ids(20), &foremost);
        let shown: Vec<u64> = grid.iter().map(|it| it.source.0).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 19, 20]);
        // Who spoke before may lose the place again.
        let grid = arrange(Layout::Grid, 1280, 720, &ids(20), &[SourceId(20), SourceId(16)]);
        let shown: Vec<u64> = grid.iter().map(|it| it.source.0).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 16]);
    }
}
