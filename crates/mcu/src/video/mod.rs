//! Pictures: decoded once for each source, composed and encoded once for all who watch the same.

mod compose;
mod encode;
mod layout;
mod pace;
mod reorder;
mod sink;
mod slot;
mod source;
mod vp9;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::types::VideoCodec;
use codec::PicturePool;
use rtp::lane::{LaneRx, LaneTx};

use self::compose::Scene;
use self::encode::{Composition, CompositionKey, Shared};
use self::sink::VideoSink;
use self::slot::Slot;
use self::source::VideoSource;
use crate::scheduler::{LaneBell, Scheduler, Strain, TaskHandle};
use crate::types::{BridgeEvent, Counters, Events, Layout, SinkId, SourceId, VideoFormat};

/// Unused picture buffers that a bridge keeps: as many as are being passed around at 16 sources.
const POOLED: usize = 24;

/// Speakers that are remembered: whoever spoke last may leave, or be the viewer itself.
const REMEMBERED: usize = 8;

/// What a bridge's video consists of. It only keeps books: tasks on the scheduler do the work.
pub(crate) struct VideoControl {
    epoch: Instant,
    scheduler: Arc<Scheduler>,
    events: Arc<dyn Events>,
    counters: Arc<Counters>,
    pool: PicturePool,
    sources: BTreeMap<SourceId, Source>,
    arrivals: u64,
    sinks: BTreeMap<SinkId, Sink>,
    compositions: HashMap<CompositionKey, Running>,
    /// Who speaks, then who spoke before: each once, and none that is gone.
    spoke: VecDeque<SourceId>,
    screens: Vec<SourceId>,
    /// The one among them that stands out.
    screen: Option<SourceId>,
    scenes: u64,
}

struct Source {
    /// The order of their coming is the order of the tiles.
    arrival: u64,
    slot: Arc<Slot>,
    task: Option<TaskHandle>,
    tile: (u32, u32),
}

struct Sink {
    format: VideoFormat,
    layout: Layout,
    exclude: Option<SourceId>,
    no_screens: bool,
    message: Option<Arc<str>>,
    watches: Option<CompositionKey>,
    sink: Arc<Mutex<VideoSink>>,
}

struct Running {
    shared: Arc<Shared>,
    task: TaskHandle,
    watchers: BTreeSet<SinkId>,
}

impl VideoControl {
    pub(crate) fn new(
        epoch: Instant,
        scheduler: Arc<Scheduler>,
        events: Arc<dyn Events>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            epoch,
            scheduler,
            events,
            counters,
            pool: PicturePool::new(POOLED),
            sources: BTreeMap::new(),
            arrivals: 0,
            sinks: BTreeMap::new(),
            compositions: HashMap::new(),
            spoke: VecDeque::new(),
            screens: Vec::new(),
            screen: None,
            scenes: 0,
        }
    }

    fn source(&mut self, id: SourceId, name: &str) -> &mut Source {
        let arrivals = &mut self.arrivals;
        let source = self.sources.entry(id).or_insert_with(|| {
            *arrivals += 1;
            let slot = Arc::new(Slot::new(name));
            Source { arrival: *arrivals, slot, task: None, tile: (0, 0) }
        });
        source.slot.rename(name);
        source
    }

    pub(crate) fn add_source(
        &mut self,
        id: SourceId,
        codec: VideoCodec,
        name: &str,
        lane: LaneRx,
        bell: Option<Arc<LaneBell>>,
    ) {
        let (events, counters) = (self.events.clone(), self.counters.clone());
        let (pool, scheduler) = (self.pool.clone(), self.scheduler.clone());
        let source = self.source(id, name);
        source.task = None;
        let slot = source.slot.clone();
        let task = VideoSource::new(id, codec, lane, slot, pool, events, counters);
        let task = scheduler.spawn(Box::new(task));
        if let Some(bell) = bell {
            bell.bind(task.waker());
        }
        source.task = Some(task);
        // Whoever has added it has to hear how large it is shown, also where a tile was before.
        source.tile = (0, 0);
        self.rebuild();
    }

    pub(crate) fn add_tile(&mut self, id: SourceId, name: &str) {
        let source = self.source(id, name);
        source.task = None;
        source.slot.clear();
        self.rebuild();
    }

    pub(crate) fn rename(&mut self, id: SourceId, name: &str) {
        if let Some(source) = self.sources.get(&id) {
            source.slot.rename(name);
        }
    }

    pub(crate) fn set_muted(&mut self, id: SourceId, muted: bool) {
        if let Some(source) = self.sources.get(&id) {
            source.slot.set_muted(muted);
            if let Some(task) = &source.task {
                task.wake();
            }
        }
    }

    pub(crate) fn remove_source(&mut self, id: SourceId) {
        if self.sources.remove(&id).is_some() {
            self.spoke.retain(|it| *it != id);
            self.rebuild();
        }
    }

    pub(crate) fn add_sink(
        &mut self,
        id: SinkId,
        format: VideoFormat,
        exclude: Option<SourceId>,
        layout: Layout,
        number: u8,
        lane: LaneTx,
    ) {
        let sink = Arc::new(Mutex::new(VideoSink::new(number, lane)));
        let (watches, no_screens, message) = (None, false, None);
        let sink = Sink { format, layout, exclude, no_screens, message, watches, sink };
        self.sinks.insert(id, sink);
        self.rebuild();
    }

    pub(crate) fn change_sink(&mut self, id: SinkId, format: VideoFormat, layout: Layout) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        (sink.format, sink.layout) = (format, layout);
        if let Some(old) = sink.watches {
            self.rekey(id, old, CompositionKey { format, layout, ..old });
        }
        self.rebuild();
    }

    pub(crate) fn set_message(&mut self, id: SinkId, message: Option<&str>) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        sink.message = message.map(Arc::from);
        if let Some(old) = sink.watches {
            self.rekey(id, old, CompositionKey { message: message.map(|_| id), ..old });
        }
        self.rebuild();
    }

    /// A composition that one viewer watches alone goes on under a new key if only the rate or a
    /// message differs.
    fn rekey(&mut self, id: SinkId, old: CompositionKey, new: CompositionKey) {
        let format = VideoFormat { bitrate: new.format.bitrate, ..old.format };
        let same = new == CompositionKey { format, message: new.message, ..old };
        if !same || self.compositions.contains_key(&new) {
            return;
        }
        let alone = |running: &Running| running.watchers.len() == 1;
        if !self.compositions.get(&old).is_some_and(alone) {
            return;
        }
        if let Some(running) = self.compositions.remove(&old) {
            running.shared.set_bitrate(new.format.bitrate);
            self.compositions.insert(new, running);
            if let Some(sink) = self.sinks.get_mut(&id) {
                sink.watches = Some(new);
            }
        }
    }

    pub(crate) fn remove_sink(&mut self, id: SinkId) {
        if self.sinks.remove(&id).is_some() {
            self.rebuild();
        }
    }

    pub(crate) fn set_speaker(&mut self, speaker: Option<SourceId>) {
        if self.spoke.front().copied() == speaker {
            return;
        }
        match speaker {
            Some(speaker) => {
                self.spoke.retain(|it| *it != speaker);
                self.spoke.push_front(speaker);
                self.spoke.truncate(REMEMBERED);
            }
            None => self.spoke.clear(),
        }
        self.rebuild();
    }

    pub(crate) fn set_screens(&mut self, screens: Vec<SourceId>, foremost: Option<SourceId>) {
        if self.screens != screens || self.screen != foremost {
            (self.screens, self.screen) = (screens, foremost);
            self.rebuild();
        }
    }

    pub(crate) fn hide_screens(&mut self, id: SinkId, hide: bool) {
        let Some(sink) = self.sinks.get_mut(&id) else { return };
        if std::mem::replace(&mut sink.no_screens, hide) != hide {
            self.rebuild();
        }
    }

    pub(crate) fn request_key(&mut self, id: SinkId) {
        let key = self.sinks.get(&id).and_then(|sink| sink.watches);
        if let Some(running) = key.and_then(|key| self.compositions.get(&key)) {
            running.shared.want_key();
        }
    }

    /// Brings compositions, scenes and the decoders' work in line with what is asked for.
    fn rebuild(&mut self) {
        let mut order: Vec<SourceId> = self.sources.keys().copied().collect();
        order.sort_by_key(|id| self.sources.get(id).map(|source| source.arrival));
        let mut wanted: HashMap<CompositionKey, BTreeSet<SinkId>> = HashMap::new();
        let mut seen = HashMap::new();
        for (id, sink) in &self.sinks {
            wanted.entry(self.key(&order, *id, sink, &mut seen)).or_default().insert(*id);
        }
        self.compositions.retain(|key, _| wanted.contains_key(key));
        let mut tiles: HashMap<SourceId, (u32, u32)> = HashMap::new();
        self.scenes += 1;
        for (key, watchers) in wanted {
            let scene = self.scene(&order, &key);
            for place in self.places(&scene, &key) {
                let (width, height) = tiles.entry(place.source).or_default();
                *width = place.part.width.max(*width);
                *height = place.part.height.max(*height);
            }
            self.run(key, Arc::new(scene), watchers);
        }
        self.tell_tiles(&tiles);
    }

    /// What a viewer watches. Whoever would not be seen anyway need not be left out: all for whom
    /// that holds see the same tiles, and share the encode.
    /// `seen`: who has a tile of what everybody else watches, found out once for each.
    fn key(
        &self,
        order: &[SourceId],
        id: SinkId,
        sink: &Sink,
        seen: &mut HashMap<CompositionKey, BTreeSet<SourceId>>,
    ) -> CompositionKey {
        let (format, layout) = (sink.format, sink.layout);
        let single = matches!(layout, Layout::Single(_));
        let no_screens = sink.no_screens && !single && !self.screens.is_empty();
        let message = sink.message.as_ref().map(|_| id);
        let everybody = CompositionKey { format, layout, exclude: None, no_screens, message };
        let Some(own) = sink.exclude.filter(|it| self.sources.contains_key(it)) else {
            return everybody;
        };
        if single {
            return everybody;
        }
        let seen = seen.entry(everybody).or_insert_with(|| {
            let places = self.places(&self.scene(order, &everybody), &everybody);
            places.iter().map(|it| it.source).collect()
        });
        let exclude = seen.contains(&own).then_some(own);
        CompositionKey { exclude, ..everybody }
    }

    fn scene(&self, order: &[SourceId], key: &CompositionKey) -> Scene {
        let seen = |id: SourceId| match key.layout {
            Layout::Single(only) => id == only,
            Layout::Grid | Layout::Speaker => {
                Some(id) != key.exclude && !(key.no_screens && self.screens.contains(&id))
            }
        };
        let sources: Vec<(SourceId, Arc<Slot>)> = order
            .iter()
            .filter(|id| seen(**id))
            .filter_map(|id| Some((*id, self.sources.get(id)?.slot.clone())))
            .collect();
        let is_there = |id: &SourceId| sources.iter().any(|it| it.0 == *id);
        let foremost = self.screen.iter().chain(&self.spoke).copied().filter(is_there).collect();
        let message = key.message.and_then(|id| self.sinks.get(&id)?.message.clone());
        Scene { version: self.scenes, sources, foremost, message }
    }

    fn places(&self, scene: &Scene, key: &CompositionKey) -> Vec<layout::Place> {
        let ids: Vec<SourceId> = scene.sources.iter().map(|(id, _)| *id).collect();
        let VideoFormat { width, height, .. } = key.format;
        layout::arrange(key.layout, width, height, &ids, &scene.foremost)
    }

    fn run(&mut self, key: CompositionKey, scene: Arc<Scene>, watchers: BTreeSet<SinkId>) {
        let running = self.compositions.entry(key).or_insert_with(|| {
            let shared = Arc::new(Shared::new(key.format.bitrate));
            shared.set_scene(scene.clone());
            let composition = Composition::new(
                key,
                shared.clone(),
                Strain::new(self.scheduler.clone()),
                self.epoch,
                self.pool.clone(),
                self.events.clone(),
                self.counters.clone(),
            );
            let task = self.scheduler.spawn(Box::new(composition));
            Running { shared, task, watchers: BTreeSet::new() }
        });
        running.shared.set_scene(scene);
        let mut viewers = Vec::with_capacity(watchers.len());
        for id in &watchers {
            let Some(sink) = self.sinks.get_mut(id) else { continue };
            if sink.watches.replace(key) != Some(key) {
                sink.sink.lock().unwrap_or_else(PoisonError::into_inner).moved();
                running.shared.want_key();
            }
            viewers.push((*id, sink.sink.clone()));
        }
        running.shared.set_viewers(viewers);
        running.watchers = watchers;
        running.task.wake();
    }

    /// Decodes what is shown and nothing else, and tells how large it is shown.
    fn tell_tiles(&mut self, tiles: &HashMap<SourceId, (u32, u32)>) {
        for (id, source) in &mut self.sources {
            let tile = tiles.get(id).copied().unwrap_or_default();
            if source.slot.set_wanted(tile != (0, 0))
                && let Some(task) = &source.task
            {
                task.wake();
            }
            if std::mem::replace(&mut source.tile, tile) != tile && source.task.is_some() {
                let (width, height) = tile;
                self.events.event(BridgeEvent::TileSize { source: *id, width, height });
            }
        }
    }
}
