// `node build.js` makes `dist/` when its sources changed since it was made. `node build.js FILE [OPTION…]` then runs
// `dist/FILE` in this process.
//
// A build is made beside `dist/` and takes its place when it is whole: a server that runs from there goes on, and of
// two commands at once the second waits for the build of the first.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { endWithShell } from './npm-shell.js'

const COPIED = ['drizzle', 'package.json']
const SOURCES = ['src', 'plugins', 'routes', 'test', ...COPIED, 'tsconfig.json', 'package-lock.json']
const STAMP = join('dist', '.sources')
const LOCK = '.dist.lock'

/** A hash of names, sizes and times: it changes with the sources. */
function fingerprint() {
  const files = SOURCES.filter((name) => existsSync(name)).flatMap((name) =>
    statSync(name).isFile() ? [name] : readdirSync(name, { recursive: true }).map((file) => join(name, String(file)))
  )
  const hash = createHash('sha256')
  for (const file of files.sort()) {
    const { size, mtimeMs } = statSync(file)
    hash.update(`${file} ${size} ${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

const isBuilt = () => existsSync(STAMP) && readFileSync(STAMP, 'utf8') === fingerprint()

/** Whether the lock was left behind by a process that is no more. */
function isForgotten() {
  try {
    process.kill(Number(readFileSync(LOCK, 'utf8')), 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

/** Whether this process has the lock now. */
function tryLock() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    if (isForgotten()) rmSync(LOCK, { force: true })
    return false
  }
}

function build() {
  const [made, old] = [`.dist.${process.pid}`, `.dist.old.${process.pid}`]
  const sources = fingerprint()
  const tsc = createRequire(resolve('package.json')).resolve('typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '--outDir', made], { stdio: 'inherit' })
  if (status === 0) {
    for (const name of COPIED) cpSync(name, join(made, name), { recursive: true })
    writeFileSync(join(made, '.sources'), sources)
    if (existsSync('dist')) renameSync('dist', old)
    renameSync(made, 'dist')
  }
  for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true })
  return status === 0
}

while (!isBuilt()) {
  if (!tryLock()) await sleep(100)
  else {
    const done = build()
    rmSync(LOCK)
    if (!done) process.exit(1)
  }
}
const [file, ...options] = process.argv.slice(2)
if (file !== undefined) {
  const path = resolve('dist', file)
  process.argv = [process.execPath, path, ...options]
  endWithShell()
  await import(pathToFileURL(path).href)
}
