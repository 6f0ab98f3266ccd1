// Drives one real Chromium for a test: one JSON command a line on standard input, one JSON answer a
// line on standard output. Ends with its standard input.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const { chromium } = require('playwright-core');

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
  '--allow-loopback-in-peer-connection', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

let browser;
let page;
const seen = { errors: [], foreign: [] };

/** Keeps every peer connection of a page, for its statistics. */
function keepConnections() {
  const Native = window.RTCPeerConnection;
  window.testConnections = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.testConnections.push(this);
    }
  };
}

/** A tone is sound here, not noise: captures it as it is. */
function captureAsIs() {
  const devices = navigator.mediaDevices;
  const capture = devices?.getUserMedia.bind(devices);
  if (!capture) return;
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, voiceIsolation: false };
  devices.getUserMedia = (wanted) => {
    if (!wanted?.audio) return capture(wanted);
    const audio = wanted.audio === true ? raw : { ...wanted.audio, ...raw };
    return capture({ ...wanted, audio });
  };
}

/** Notes when buttons were clicked first, and when each participant's first picture was shown. */
function noteFirsts() {
  const firsts = { clicks: new Map(), pictures: {} };
  window.testFirsts = firsts;
  document.addEventListener('click', ({ target }) => {
    if (!firsts.clicks.has(target)) firsts.clicks.set(target, performance.now());
  }, true);
  const watched = new WeakSet();
  new MutationObserver(() => {
    for (const video of document.querySelectorAll('[data-identity] video')) {
      if (watched.has(video)) continue;
      watched.add(video);
      const note = () => {
        const identity = video.closest('[data-identity]')?.dataset.identity;
        firsts.pictures[identity] ??= performance.now();
      };
      video.requestVideoFrameCallback(note);
    }
  }).observe(document, { childList: true, subtree: true });
}

/** Reads pictures and sounds of media elements: runs in the page. */
function mediaTools() {
  const CELLS = 16;
  // Sync cells (white, black, …, black, white) around twelve bits, in a strip near the upper edge:
  // see media.rs.
  const counterOf = (pixels, width, height) => {
    const luma = (cell) => {
      const x = Math.floor(((cell + 0.5) * width) / CELLS);
      const y = Math.floor((50 * height) / 360);
      const at = (y * width + x) * 4;
      return 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
    };
    const cells = Array.from({ length: CELLS }, (_, cell) => luma(cell) > 128);
    if (!cells[0] || cells[1] || cells[14] || !cells[15]) return null;
    return cells.slice(2, 14).reduce((sum, bit) => sum * 2 + Number(bit), 0);
  };
  const draw = (video) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth || 2, video.videoHeight || 2];
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    return { canvas, context };
  };
  /** The sum of some streams, as 16-bit samples in base64. */
  const recordStreams = async (streams, seconds) => {
    const context = new AudioContext({ sampleRate: 48000 });
    const tap = context.createScriptProcessor(4096, 1, 1);
    const blocks = [];
    tap.onaudioprocess = (event) => blocks.push(event.inputBuffer.getChannelData(0).slice());
    for (const stream of streams) context.createMediaStreamSource(stream).connect(tap);
    tap.connect(context.destination);
    await new Promise((done) => setTimeout(done, seconds * 1000));
    await context.close();
    const samples = Int16Array.from(
      blocks.flatMap((block) => Array.from(block)),
      (sample) => Math.max(-1, Math.min(1, sample)) * 32767,
    );
    const bytes = new Uint8Array(samples.buffer);
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000) {
      text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    }
    return btoa(text);
  };
  /** While a codec changes there are two videos of one camera: the later lies above, once it has a picture. */
  const shown = (selector) => [...document.querySelectorAll(selector)].findLast((it) => it.videoWidth > 0);
  window.testTools = {
    /** Counters of the frames that a video shows for some seconds, without repetitions. */
    async counters(selector, seconds) {
      const until = performance.now() + seconds * 1000;
      const counters = [];
      while (performance.now() < until) {
        const video = shown(selector);
        if (video !== undefined) {
          const { canvas, context } = draw(video);
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          const counter = counterOf(data, canvas.width, canvas.height);
          if (counter !== null && counter !== counters.at(-1)) counters.push(counter);
        }
        await new Promise((done) => setTimeout(done, 20));
      }
      return counters;
    },
    picture(selector) {
      const video = shown(selector);
      if (video === undefined) return null;
      return draw(video).canvas.toDataURL('image/png').split(',')[1];
    },
    /** What an audio element plays. */
    async record(selector, seconds) {
      const element = document.querySelector(selector);
      return element?.srcObject ? recordStreams([element.srcObject], seconds) : null;
    },
    /** All sound that still arrives, whether something plays it or not. */
    async recordAll(seconds) {
      const receivers = (window.testConnections ?? [])
        .filter((connection) => connection.connectionState !== 'closed')
        .flatMap((connection) => connection.getReceivers())
        .filter(({ track }) => track?.kind === 'audio' && track.readyState === 'live');
      const streams = receivers.map(({ track }) => new MediaStream([track]));
      // Chromium decodes only what an element plays.
      const players = streams.map((stream) => Object.assign(new Audio(), { srcObject: stream, muted: true }));
      players.forEach((player) => player.play().catch(() => {}));
      const samples = await recordStreams(streams, seconds);
      for (const player of players) player.srcObject = null;
      return samples;
    },
    async stats() {
      const streams = [];
      for (const connection of window.testConnections ?? []) {
        if (connection.connectionState === 'closed') continue;
        for (const report of (await connection.getStats()).values()) {
          if (report.type !== 'inbound-rtp') continue;
          const { kind, packetsReceived, packetsLost, bytesReceived, framesDecoded } = report;
          streams.push({ kind, packetsReceived, packetsLost, bytesReceived, framesDecoded });
        }
      }
      return streams;
    },
  };
}

/** A page without an application, for tests of the protocol: LiveKit's own client and nothing else. */
async function blank() {
  const client = readFileSync(require.resolve('livekit-client'));
  const server = createServer((request, response) => {
    if (request.url === '/client.js') {
      response.setHeader('content-type', 'text/javascript');
      return response.end(client);
    }
    response.setHeader('content-type', 'text/html');
    return response.end('<!doctype html><script src="/client.js"></script><body></body>');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  server.unref();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
}

const commands = {
  async launch({ video, audio, origin }) {
    const args = [
      ...ARGS, `--use-file-for-fake-video-capture=${video}`,
      `--use-file-for-fake-audio-capture=${audio}`,
    ];
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium', args, ignoreDefaultArgs: ['--mute-audio'],
    });
    const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 800 } });
    page = await context.newPage();
    await page.addInitScript(keepConnections);
    await page.addInitScript(captureAsIs);
    await page.addInitScript(noteFirsts);
    await page.addInitScript(mediaTools);
    page.on('console', (message) => {
      if (message.type() === 'error') seen.errors.push(message.text());
    });
    page.on('pageerror', (error) => seen.errors.push(String(error)));
    page.on('request', (request) => {
      const url = new URL(request.url());
      const own = ['data:', 'blob:'].includes(url.protocol) || url.host === new URL(origin).host;
      if (!own) seen.foreign.push(request.url());
    });
  },
  async goto({ url }) {
    await page.goto(url);
  },
  blank,
  async fill({ selector, text }) {
    await page.locator(selector).first().fill(text);
  },
  async click({ selector }) {
    await page.locator(selector).first().click();
  },
  async hold({ selector }) {
    await page.locator(selector).first().hover();
    await page.mouse.down();
  },
  async release() {
    await page.mouse.up();
  },
  async hold_key({ key }) {
    await page.keyboard.down(key);
  },
  async release_key({ key }) {
    await page.keyboard.up(key);
  },
  async wait_for({ selector, state, timeout }) {
    await page.locator(selector).first().waitFor({ state, timeout });
  },
  async evaluate({ script }) {
    return page.evaluate(script);
  },
  async counters({ selector, seconds }) {
    return page.evaluate(([at, time]) => window.testTools.counters(at, time), [selector, seconds]);
  },
  async picture({ selector, file }) {
    const png = await page.evaluate((at) => window.testTools.picture(at), selector);
    if (!png) throw new Error(`${selector} shows no picture`);
    writeFileSync(file, Buffer.from(png, 'base64'));
  },
  async record({ selector, seconds }) {
    const samples = await page.evaluate(
      ([at, time]) => window.testTools.record(at, time), [selector, seconds],
    );
    if (samples === null) throw new Error(`${selector} plays nothing`);
    return samples;
  },
  async record_all({ seconds }) {
    return page.evaluate((time) => window.testTools.recordAll(time), seconds);
  },
  async stats() {
    return page.evaluate(() => window.testTools.stats());
  },
  async screenshot({ file, width, height }) {
    if (width) await page.setViewportSize({ width, height });
    await page.screenshot({ path: file });
  },
  async seen() {
    return seen;
  },
};

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](options)) ?? null };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser?.close();
