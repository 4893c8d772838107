//! What sequences have reached so far in a kernel that notes its blocks, and when: kept as lines of a table.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinfold_contract::Edge;

use crate::blocks::{BlockCount, BlockMap};
use crate::error::RunError;

/// The first line of the table.
const HEAD: &str =
    "seconds,sequences,blocks,blocks_of_infiniband,edges,edges_of_infiniband,features";

/// How often there is a line at least, as long as there are sequences.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What was reached.
#[derive(Debug)]
pub struct Reached {
    map: BlockMap,
    edges: BTreeSet<Edge>,
    features: BTreeSet<u32>,
    sequences: u64,
    started: Instant,
    line_at: Option<Instant>,
    path: PathBuf,
    table: File,
}

impl Reached {
    /// Nothing yet, in the kernel `image`. Begins a table in the file `path`.
    ///
    /// # Errors
    ///
    /// If the image has no blocks, or the file cannot be written.
    pub fn new(image: &Path, path: &Path) -> Result<Reached, RunError> {
        let map = BlockMap::of(image)?;
        let made = File::create(path).and_then(|mut table| {
            writeln!(table, "{HEAD}")?;
            Ok(table)
        });
        let path = path.to_owned();
        let table = made.map_err(|source| RunError::Write { path: path.clone(), source })?;
        Ok(Reached {
            map,
            edges: BTreeSet::new(),
            features: BTreeSet::new(),
            sequences: 0,
            started: Instant::now(),
            line_at: None,
            path,
            table,
        })
    }

    /// Notes what one sequence reached: which way the kernel went, and features of the model.
    ///
    /// # Errors
    ///
    /// If the table cannot be written.
    pub fn note(
        &mut self,
        edges: &[Edge],
        features: impl Iterator<Item = u32>,
    ) -> Result<(), RunError> {
        self.sequences += 1;
        self.edges.extend(edges);
        self.features.extend(features);
        if self.line_at.is_some_and(|at| at.elapsed() < LINE_EVERY) {
            return Ok(());
        }
        self.line_at = Some(Instant::now());
        self.line()
    }

    fn line(&mut self) -> Result<(), RunError> {
        let seconds = self.started.elapsed().as_secs_f64();
        let BlockCount { ran, ran_infiniband, edges, edges_infiniband, .. } = self.count();
        let (sequences, features) = (self.sequences, self.features.len());
        let kernel = format!("{ran},{ran_infiniband},{edges},{edges_infiniband}");
        let line = format!("{seconds:.1},{sequences},{kernel},{features}");
        writeln!(self.table, "{line}")
            .map_err(|source| RunError::Write { path: self.path.clone(), source })
    }

    /// How many blocks ran, and edges between them.
    pub fn count(&self) -> BlockCount {
        self.map.count(&self.edges)
    }

    /// Which lines ran: see [`BlockMap::lcov`].
    pub fn lcov(&self) -> String {
        self.map.lcov(&self.edges)
    }
}
