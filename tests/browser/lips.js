// Flashes and beeps, made and noted in a page: evaluated there by tests/src/lips.rs. All times are
// milliseconds of the wall clock as the page started with it, so that processes can compare them.
() => {
  const wall = () => performance.timeOrigin + performance.now();
  const STEP = 1000 / 30;
  const FLASH_FRAMES = 4;
  const BEEP = 0.1;

  /** The wall clock when an audio context rendered its time 0. */
  const follow = (context) => {
    const clock = { offset: Infinity };
    const look = () => {
      // The context's time stands still between two blocks: the least distance is the true one.
      clock.offset = Math.min(clock.offset, wall() - context.currentTime * 1000);
    };
    clock.timer = setInterval(look, 3);
    return clock;
  };

  /** Publishes a beep every second and a flash at the same instant, which `videoCodec` encodes. */
  const send = async (room, { Track }, videoCodec) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 360];
    const picture = canvas.getContext('2d');
    const paint = (white) => {
      picture.fillStyle = white ? '#fff' : '#000';
      picture.fillRect(0, 0, canvas.width, canvas.height);
    };
    paint(false);
    const video = canvas.captureStream(0).getVideoTracks()[0];
    const context = new AudioContext({ sampleRate: 48000 });
    await context.resume();
    const clock = follow(context);
    const tone = new OscillatorNode(context, { frequency: 1000 });
    const gain = new GainNode(context, { gain: 0 });
    const out = context.createMediaStreamDestination();
    tone.connect(gain).connect(out);
    tone.start();
    const sent = { beeps: [], flashes: [] };
    await new Promise((done) => setTimeout(done, 300));

    const first = Math.ceil(context.currentTime) + 1;
    let scheduled = 0;
    let frame = 0;
    const start = clock.offset + first * 1000;
    const draw = () => {
      if (context.currentTime > first + scheduled - 0.5) {
        const at = first + scheduled;
        gain.gain.setValueAtTime(0.5, at);
        gain.gain.setValueAtTime(0, at + BEEP);
        sent.beeps.push(clock.offset + at * 1000);
        scheduled += 1;
      }
      const place = ((frame % 30) + 30) % 30;
      paint(place < FLASH_FRAMES);
      video.requestFrame();
      if (place === 0) sent.flashes.push(wall());
      frame = Math.max(frame + 1, Math.round((wall() - start) / STEP));
      setTimeout(draw, start + frame * STEP - wall());
    };
    frame = Math.ceil((wall() - start) / STEP);
    draw();
    await room.localParticipant.publishTrack(out.stream.getAudioTracks()[0], {
      source: Track.Source.Microphone,
    });
    await room.localParticipant.publishTrack(video, {
      source: Track.Source.Camera, simulcast: false, videoCodec,
    });
    return sent;
  };

  const NOTE_BEEPS = `registerProcessor('note-beeps', class extends AudioWorkletProcessor {
    quiet = 0;
    process([[channel]]) {
      for (let at = 0; at < (channel?.length ?? 0); at += 1) {
        if (Math.abs(channel[at]) < 0.05) { this.quiet += 1; continue; }
        if (this.quiet > sampleRate * 0.3) this.port.postMessage(currentTime + at / sampleRate);
        this.quiet = 0;
      }
      return true;
    }
  })`;

  /** Notes when beeps are played out and flashes are to be seen. */
  const receive = async (identity) => {
    const seen = { beeps: [], flashes: [], frames: 0 };
    const video = document.querySelector(`[data-identity="${identity}"] video`);
    const audio = document.querySelector(`audio[data-identity="${identity}"]`);
    const small = document.createElement('canvas');
    [small.width, small.height] = [8, 8];
    const pixels = small.getContext('2d', { willReadFrequently: true });
    let white = true;
    const look = (_, { expectedDisplayTime }) => {
      video.requestVideoFrameCallback(look);
      seen.frames += 1;
      pixels.drawImage(video, 0, 0, 8, 8);
      const now = pixels.getImageData(4, 4, 1, 1).data[1] > 128;
      if (now && !white) seen.flashes.push(performance.timeOrigin + expectedDisplayTime);
      white = now;
    };
    video.requestVideoFrameCallback(look);

    const context = new AudioContext({ sampleRate: 48000 });
    await context.resume();
    const clock = follow(context);
    const url = URL.createObjectURL(new Blob([NOTE_BEEPS], { type: 'text/javascript' }));
    await context.audioWorklet.addModule(url);
    const note = new AudioWorkletNode(context, 'note-beeps');
    note.port.onmessage = ({ data }) => seen.beeps.push(clock.offset + data * 1000);
    context.createMediaStreamSource(audio.srcObject).connect(note).connect(context.destination);
    return seen;
  };

  const stats = async () => {
    const all = [];
    for (const connection of window.testConnections ?? []) {
      if (connection.connectionState === 'closed') continue;
      for (const report of (await connection.getStats()).values()) {
        if (['inbound-rtp', 'outbound-rtp'].includes(report.type)) all.push(report);
      }
    }
    return all;
  };

  window.lips = { send, receive, stats };
}
