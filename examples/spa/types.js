// `npm run types`: writes the types of the service's API to `src/api.d.ts`, by its OpenAPI document. In a repository of
// its own an app runs `npx openapi-typescript https://api.example.com/openapi.json -o src/api.d.ts`.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import openapiTS, { astToString } from 'openapi-typescript'
import './link.js'
import { serve } from './serve.js'

/** @param {string} url where the service is */
export async function writeTypes(url) {
  const types = astToString(await openapiTS(new URL('/openapi.json', url)))
  writeFileSync(new URL('src/api.d.ts', import.meta.url), types)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { service, url } = await serve({ PORT: '0' })
  await writeTypes(url)
  service.kill()
  await once(service, 'exit')
}
