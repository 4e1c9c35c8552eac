import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const MODULES = {
  './resource.js': [
    new URL('../../src/resource/resource.js', import.meta.url).href,
    new URL('../../src/db/tables.js', import.meta.url).href,
    import.meta.resolve('drizzle-orm/pg-core'),
    import.meta.resolve('@sinclair/typebox')
  ]
}

/** Lets a project import `rowkeeper/resource`, as if the package were installed in it. */
export function installPackage(project: string): void {
  const folder = join(project, 'node_modules', 'rowkeeper')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module","exports":{"./resource":"./resource.js"}}')
  for (const [file, modules] of Object.entries(MODULES)) {
    writeFileSync(join(folder, file), modules.map((url) => `export * from '${url}'\n`).join(''))
  }
}
