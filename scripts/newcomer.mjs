// Two people join one meeting through the page; each has to see the other's colour, moving.
//
//   node scripts/newcomer.mjs ADDRESS FOLDER     (FOLDER takes clips and pictures)
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const require = createRequire(new URL('../tests/browser/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const [WIDTH, HEIGHT, FPS] = [640, 360, 15];
const MEETING = 'newcomer';
const PATIENCE = 60_000;
// Of 255, by channel: compression and limited range shift a flat colour by far less.
const TOLERANCE = 48;
const PEOPLE = [
  { name: 'Anna', yuv: [81, 90, 240], rgb: [255, 0, 0] },
  { name: 'Boris', yuv: [41, 240, 110], rgb: [0, 0, 255] },
];

/** A second of one flat colour with a bar that moves, so that every frame differs. */
function clip([y, u, v]) {
  const parts = [Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${FPS}:1 Ip A1:1 C420jpeg\n`)];
  const chroma = (WIDTH * HEIGHT) / 4;
  for (let frame = 0; frame < FPS; frame += 1) {
    const luma = Buffer.alloc(WIDTH * HEIGHT, y);
    // Along the edge only: the middle is where the colour is read.
    const start = Math.floor((frame * WIDTH) / FPS);
    for (let row = 0; row < 24; row += 1) luma.fill(200, row * WIDTH + start, row * WIDTH + start + 24);
    parts.push(Buffer.from('FRAME\n'), luma, Buffer.alloc(chroma, u), Buffer.alloc(chroma, v));
  }
  return Buffer.concat(parts);
}

async function open(folder, person) {
  const file = join(folder, `${person.name}.y4m`);
  writeFileSync(file, clip(person.yuv));
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--use-fake-ui-for-media-stream',
      '--use-fake-device-for-media-stream',
      `--use-file-for-fake-video-capture=${file}`,
      '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
  });
  const page = await browser.newPage({ locale: 'en-US' });
  return { ...person, browser, page };
}

/** One step of joining, as far as the page has got: what is empty is filled in, then it is sent. */
async function step({ page, name }) {
  for (const input of await page.locator('input[type=text]:visible').all()) {
    if ((await input.inputValue()) !== '') continue;
    const label = await input.evaluate((element) =>
      [...(element.labels ?? [])].map((l) => l.textContent).join(' ') +
      (element.getAttribute('aria-label') ?? '') + element.name + element.id);
    await input.fill(/meeting|room/i.test(label) ? MEETING : name);
  }
  const submit = page.locator('button[type=submit]:visible:enabled');
  if ((await submit.count()) > 0) await submit.first().click({ timeout: 2000 });
}

/** For each playing video: how many frames were shown, and the colour of its middle. */
function look(page) {
  return page.evaluate(() => {
    const playing = [...document.querySelectorAll('video')].filter((v) => v.videoWidth > 0);
    return playing.map((video) => {
      const canvas = document.createElement('canvas');
      canvas.width = canvas.height = 8;
      const context = canvas.getContext('2d', { willReadFrequently: true });
      const [w, h] = [video.videoWidth, video.videoHeight];
      context.drawImage(video, w / 4, h / 4, w / 2, h / 2, 0, 0, 8, 8);
      const frames = video.getVideoPlaybackQuality().totalVideoFrames;
      return { frames, rgb: [...context.getImageData(4, 4, 1, 1).data.slice(0, 3)] };
    });
  });
}

const near = (a, b) => a.every((value, i) => Math.abs(value - b[i]) <= TOLERANCE);

/** Frames of the other's picture that this page has shown so far; -1 when it is not there. */
async function framesOf(viewer, other) {
  const seen = (await look(viewer.page)).filter((video) => near(video.rgb, other.rgb));
  return Math.max(-1, ...seen.map((video) => video.frames));
}

async function sees(viewer, other) {
  const deadline = Date.now() + PATIENCE;
  let first = -1;
  while (Date.now() < deadline) {
    const frames = await framesOf(viewer, other);
    if (first < 0) first = frames;
    if (first >= 0 && frames >= first + FPS) return frames - first;
    // A click that comes while the page changes is no error: the next round sees the new page.
    await step(viewer).catch(() => {});
    await step(other).catch(() => {});
    await viewer.page.waitForTimeout(250);
  }
  return 0;
}

async function main([address, folder]) {
  const tabs = [];
  let failures = 0;
  try {
    for (const person of PEOPLE) tabs.push(await open(folder, person));
    for (const tab of tabs) await tab.page.goto(address);
    for (const [viewer, other] of [tabs, [...tabs].reverse()]) {
      const frames = await sees(viewer, other);
      if (frames === 0) failures += 1;
      console.log(`${frames > 0 ? 'PASS' : 'FAIL'}  ${viewer.name} sees ${other.name}: ${frames} more frames`);
      await viewer.page.screenshot({ path: join(folder, `${viewer.name}.png`) });
    }
  } finally {
    for (const { browser } of tabs) await browser.close();
  }
  process.exitCode = failures === 0 ? 0 : 1;
}

await main(process.argv.slice(2));
