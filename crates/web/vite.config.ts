import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [react()],
  build: {
    // Nothing is inlined as data: and no preload helper is needed: the strict policy stays short.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200, // the meeting client and the widgets, 320 kB compressed
  },
  server: {
    // `npm run dev` beside a running `plenum serve`.
    proxy: { '/api': 'http://127.0.0.1:7880', '/rtc': { target: 'http://127.0.0.1:7880', ws: true } },
  },
  test: { include: ['page/**/*.test.ts'] },
});
