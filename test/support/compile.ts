import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const COMPILER = resolve('node_modules/@typescript/native/lib/tsc.js')

/** What an application for browsers is compiled with. */
export const FOR_BROWSERS = {
  target: 'es2023',
  lib: ['es2023', 'dom', 'dom.iterable', 'dom.asynciterable'],
  module: 'esnext',
  moduleResolution: 'bundler',
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true
}

/**
 * Compiles files as a project in `folder` does, and returns what is wrong with them.
 *
 * @param files their paths, from `folder`
 * @param base a `tsconfig.json` whose options the project has too
 */
export function compile(folder: string, files: string[], compilerOptions: object, base?: string): string {
  const config = { ...(base !== undefined && { extends: resolve(base) }), compilerOptions, files, include: [] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMPILER, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8'
  })
  return status === 0 ? '' : `${stdout}${stderr}exit code ${status}`
}
