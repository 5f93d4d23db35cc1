//! The inventory in the state file. Bounds are applied when it is read, since the file may have been edited.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Inventory;
use super::key::{ClientIdentity, RowKey, Transport};
use crate::limits::{INVENTORY_ACCEPTED, INVENTORY_ROWS};
use crate::mongo::{ClientMetadata, bounded};

/// The stored rows and accepted clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InventoryImage {
    rows: Vec<RowImage>,
    accepted: Vec<String>,
    lost: u64,
    lost_at: i64,
    next_number: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RowImage {
    number: u64,
    ip: String,
    kind: String,
    application: Option<String>,
    driver: Option<String>,
    driver_version: Option<String>,
    member: bool,
    more_names: Option<u64>,
    total: u64,
    refused: u64,
    first_seen: i64,
    last_seen: i64,
}

impl Inventory {
    /// The image to write to the state file.
    pub fn to_image(&self) -> InventoryImage {
        let rows = self.rows();
        let table = self.table();
        let row = |seen: super::InventoryRow| RowImage {
            number: seen.number,
            ip: seen.identity.ip.to_string(),
            kind: seen.kind.name().to_owned(),
            member: seen.identity.is_member(),
            application: seen.identity.application,
            driver: seen.identity.driver,
            driver_version: seen.driver_version,
            more_names: seen.more_names,
            total: seen.total,
            refused: seen.refused,
            first_seen: seen.first_seen,
            // A connected client counts as seen at the current time.
            last_seen: if seen.open > 0 { super::now_millis().max(seen.last_seen) } else { seen.last_seen },
        };
        InventoryImage {
            rows: rows.into_iter().map(row).collect(),
            accepted: table.accepted.iter().map(ClientIdentity::text).collect(),
            lost: table.lost,
            lost_at: table.lost_at,
            next_number: table.next_number,
        }
    }

    /// Restores an image. Malformed rows, and the oldest rows beyond the bounds, are left out.
    pub fn from_image(image: InventoryImage) -> Inventory {
        let InventoryImage { mut rows, accepted, lost, lost_at, next_number } = image;
        let mut next_number = unused_number(&mut rows, next_number);
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.last_seen));
        let inventory = Inventory::default();
        let mut table = inventory.table();
        (table.lost, table.lost_at) = (lost, lost_at);
        for image in rows {
            let Some((key, more_names)) = image.key() else { continue };
            let fits = table.len() < INVENTORY_ROWS;
            if !fits {
                break;
            }
            let is_new = image.number == 0;
            table.next_number = if is_new { next_number } else { image.number };
            let row = table.row(key, image.last_seen, &inventory.revision);
            if is_new {
                next_number = table.next_number;
            }
            row.add(image.total, image.refused, image.first_seen, image.last_seen);
            if let Some((names, count)) = row.names.as_ref().zip(more_names) {
                names.add_count(count);
            }
        }
        table.next_number = next_number;
        let accepted = accepted.iter().take(INVENTORY_ACCEPTED).filter_map(|text| ClientIdentity::parse(text).ok());
        table.accepted = Arc::new(accepted.collect());
        drop(table);
        inventory.changed();
        inventory
    }
}

/// Returns the number for the next new row, above the numbers of all rows. Sets unusable numbers, and numbers that an
/// earlier row has, to 0.
fn unused_number(rows: &mut [RowImage], next: u64) -> u64 {
    let mut used = HashSet::new();
    for row in rows.iter_mut() {
        if !(1..NUMBERS_MOST).contains(&row.number) || !used.insert(row.number) {
            row.number = 0;
        }
    }
    let above = used.into_iter().max().unwrap_or(0) + 1;
    if next < NUMBERS_MOST { above.max(next) } else { above }
}

/// Row numbers are below this one, because many programs that read JSON do not represent larger integers exactly.
const NUMBERS_MOST: u64 = 1 << 53;

impl RowImage {
    /// The row's key and, for a shared row, the number of applications; `None` if the row is malformed.
    fn key(&self) -> Option<(RowKey, Option<u64>)> {
        let (ip, kind) = (self.ip.parse::<std::net::IpAddr>().ok()?, Transport::parse(&self.kind)?);
        let text = |text: &Option<String>| text.as_deref().and_then(bounded);
        let client = ClientMetadata {
            application: text(&self.application),
            driver: text(&self.driver),
            driver_version: text(&self.driver_version),
            internal: self.member,
        };
        let key = RowKey { ip: ip.to_canonical(), kind, client, more: false };
        Some(match self.more_names {
            Some(_) => (key.folded(key.ip), self.more_names),
            None => (key, None),
        })
    }
}
