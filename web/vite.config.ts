import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// `npm run dev` serves the pages with hot reload beside a server on the usual port.
export default defineConfig({
  base: '/console/',
  plugins: [react()],
  build: { outDir: '../internal/console/dist', emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  server: {
    proxy: {
      '^/(v1|runtimes|console/(me|login|logout))': { target: 'http://127.0.0.1:9400', ws: true },
    },
  },
})
