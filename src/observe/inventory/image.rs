//! The inventory as the state file has it. What comes back is bounded as what comes from the network is: the file may
//! have been edited.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64};

use serde::{Deserialize, Serialize};

use super::Inventory;
use super::key::{Identity, Key, Kind};
use super::table::{Row, Table};
use crate::limits::{INVENTORY_ACCEPTED, INVENTORY_ROWS};
use crate::mongo::{Client, bounded};

/// Rows and acceptances, at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InventoryImage {
    rows: Vec<RowImage>,
    accepted: Vec<String>,
    lost: u64,
    lost_at: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RowImage {
    ip: String,
    kind: String,
    application: Option<String>,
    driver: Option<String>,
    driver_version: Option<String>,
    member: bool,
    total: u64,
    refused: u64,
    first_seen: i64,
    last_seen: i64,
}

impl Inventory {
    /// What to keep.
    #[must_use]
    pub fn to_image(&self) -> InventoryImage {
        let rows = self.rows();
        let table = self.table();
        let row = |seen: super::Seen| RowImage {
            ip: seen.identity.ip.to_string(),
            kind: seen.kind.name().to_owned(),
            application: seen.identity.application,
            driver: seen.identity.driver,
            driver_version: seen.driver_version,
            member: seen.identity.member,
            total: seen.total,
            refused: seen.refused,
            first_seen: seen.first_seen,
            // Whoever is connected now was seen now.
            last_seen: if seen.open > 0 { super::now_millis().max(seen.last_seen) } else { seen.last_seen },
        };
        InventoryImage {
            rows: rows.into_iter().map(row).collect(),
            accepted: table.accepted.iter().map(Identity::text).collect(),
            lost: table.lost,
            lost_at: table.lost_at,
        }
    }

    /// What was kept. Rows that make no sense are left out, and so is what is beyond the bounds, the oldest first.
    #[must_use]
    pub fn from_image(image: InventoryImage) -> Inventory {
        let InventoryImage { mut rows, accepted, lost, lost_at } = image;
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.last_seen));
        let revision = Arc::new(AtomicU64::new(1));
        let mut table = Table { lost, lost_at, ..Table::default() };
        for image in rows.into_iter().take(INVENTORY_ROWS) {
            let (Ok(ip), Some(kind)) = (image.ip.parse::<std::net::IpAddr>(), Kind::parse(&image.kind)) else {
                continue;
            };
            let client = Client {
                application: image.application.as_deref().and_then(bounded),
                driver: image.driver.as_deref().and_then(bounded),
                driver_version: image.driver_version.as_deref().and_then(bounded),
                internal: image.member,
            };
            let row = Row {
                open: AtomicU64::new(0),
                total: AtomicU64::new(image.total),
                refused: AtomicU64::new(image.refused),
                first_seen: image.first_seen,
                last_seen: AtomicI64::new(image.last_seen),
                revision: Arc::clone(&revision),
            };
            table.rows.insert(Arc::new(Key { ip: ip.to_canonical(), kind, client }), Arc::new(row));
        }
        let accepted = accepted.iter().take(INVENTORY_ACCEPTED).filter_map(|text| Identity::parse(text).ok());
        table.accepted = Arc::new(accepted.collect());
        Inventory { table: Mutex::new(table), revision }
    }
}
