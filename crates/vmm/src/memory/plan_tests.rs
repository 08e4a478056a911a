//! Every plan for some granules of memory and every table of two or three layers, carried out on a model of memory.

use super::plan::{Mapping, Piece, Plan, PlannedLayer};
use crate::layer::{Extent, ExtentSource, GRANULE};

/// What a granule of memory holds: what was there before, zeros, or a granule of a layer's file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Before,
    Zero,
    Data { layer: usize, granule: u64 },
}

/// A granule of a table: not of the layer, zeros or data.
const KINDS: u32 = 3;
/// The file offset of what guest offset 0 would be, in granules: congruent to it on a host with such pages, or not.
const PLACES: [u64; 2] = [8, 9];

/// The table of this number: one digit a granule. What lies together is one extent.
fn table(mut number: u32, granules: u64, place: u64) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for granule in 0..granules {
        let kind = number % KINDS;
        number /= KINDS;
        if kind == 0 {
            continue;
        }
        let is_data = kind == 2;
        if let Some(last) = extents.last_mut()
            && last.guest_end() == granule * GRANULE
            && is_data == (last.source != ExtentSource::Zero)
        {
            last.length += GRANULE;
            continue;
        }
        let data = ExtentSource::Data { file_offset: (place + granule) * GRANULE };
        let source = if is_data { data } else { ExtentSource::Zero };
        extents.push(Extent { guest_offset: granule * GRANULE, length: GRANULE, source });
    }
    extents
}

fn index(granule: u64) -> usize {
    usize::try_from(granule).unwrap()
}

fn paint(memory: &mut [Cell], layer: usize, offset: u64, length: u64, source: ExtentSource) {
    for granule in 0..length / GRANULE {
        memory[index(offset / GRANULE + granule)] = match source {
            ExtentSource::Zero => Cell::Zero,
            ExtentSource::Data { file_offset } => {
                Cell::Data { layer, granule: file_offset / GRANULE + granule }
            }
        };
    }
}

/// Memory after the plan, if the system makes no mapping for which `fails` holds: what is visible of it is copied.
fn carried_out(plan: &Plan, granules: u64, fails: impl Fn(usize) -> bool) -> Vec<Cell> {
    let mut memory = vec![Cell::Before; index(granules)];
    let mut copies = plan.copies.clone();
    for (number, Mapping { piece, visible, .. }) in plan.mappings.iter().enumerate() {
        if fails(number) {
            copies.extend(&plan.visible[visible.clone()]);
        } else {
            paint(&mut memory, piece.layer, piece.offset, piece.length, piece.source);
        }
    }
    let mut copied = vec![false; index(granules)];
    for Piece { layer, offset, length, source } in copies {
        paint(&mut memory, layer, offset, length, source);
        for granule in offset / GRANULE..(offset + length) / GRANULE {
            assert!(!std::mem::replace(&mut copied[index(granule)], true), "copied twice, in any order");
        }
    }
    memory
}

fn assert_every_plan(layers: u32, granules: u64) {
    let tables = KINDS.pow(u32::try_from(granules).unwrap());
    let tables_at =
        PLACES.map(|place| (0..tables).map(|number| table(number, granules, place)).collect::<Vec<_>>());
    for number in 0..tables.pow(layers) {
        for tables_of_place in &tables_at {
            let chain: Vec<&[Extent]> = (0..layers)
                .map(|layer| &tables_of_place[(number / tables.pow(layer) % tables) as usize][..])
                .collect();
            let mut expected = vec![Cell::Before; index(granules)];
            for (layer, extents) in chain.iter().enumerate() {
                for extent in *extents {
                    paint(&mut expected, layer, extent.guest_offset, extent.length, extent.source);
                }
            }
            for (page, threshold, mappings_max) in
                [(1, 1, 9), (1, 2, 9), (1, 1, 1), (2, 1, 9), (2, 2, 1), (4, 1, 9)]
            {
                let planned: Vec<_> = chain
                    .iter()
                    .map(|extents| PlannedLayer { extents, map_threshold: threshold * GRANULE })
                    .collect();
                let plan = Plan::new(&planned, page * GRANULE, mappings_max);
                let what = || format!("{chain:?} {page} {threshold} {mappings_max} {plan:?}");
                assert!(plan.mappings.len() <= mappings_max, "{}", what());
                for Mapping { piece, .. } in &plan.mappings {
                    let file_offset = match piece.source {
                        ExtentSource::Zero => 0,
                        ExtentSource::Data { file_offset } => file_offset,
                    };
                    let numbers = [piece.offset, piece.length, file_offset];
                    assert!(numbers.iter().all(|number| number % (page * GRANULE) == 0), "{}", what());
                }
                assert!(carried_out(&plan, granules, |_| false) == expected, "{}", what());
                assert!(carried_out(&plan, granules, |_| true) == expected, "{}", what());
                assert!(carried_out(&plan, granules, |mapping| mapping % 2 == 1) == expected, "{}", what());
            }
        }
    }
}

#[test]
fn every_plan_of_two_layers_of_four_granules_gives_what_the_uppermost_layer_says() {
    assert_every_plan(2, 4);
}

#[test]
fn every_plan_of_three_layers_of_three_granules_gives_what_the_uppermost_layer_says() {
    assert_every_plan(3, 3);
}
