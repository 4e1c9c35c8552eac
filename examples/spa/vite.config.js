import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

/** @param {string} name of a folder, from here */
const path = (name) => fileURLToPath(new URL(name, import.meta.url))

export default defineConfig({
  // `rowkeeper` is a link to the repository (link.js), whose files Vite would not serve to the browser.
  server: { fs: { allow: [path('.'), path('../../dist/client'), path('../../node_modules')] } }
})
