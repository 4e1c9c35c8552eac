// Plain JavaScript, because this repository runs it (build.js) before anything is built.
//
// A build is made beside `dist/` and takes its place when it is whole: a server that runs from there goes on, and of
// two commands at once the second waits for the build of the first.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a build has besides what is compiled. */
const COPIED = ['drizzle', 'package.json']

/** What is no source, and may change while commands run. The files of a build begin with a dot. */
const IGNORED = /^(?:\..*|dist|node_modules|load-report\.json)$/
const SOURCE = /\.(?:[cm]?[jt]s|json|sql)$/

const STAMP = join('dist', '.sources')
const LOCK = '.dist.lock'

/**
 * Whether a folder is a project of its own, which another build compiles. One that has `tsconfig.json` alone, such as
 * `test/`, may be part of this one.
 *
 * @param {string} folder
 */
const isProject = (folder) => ['package.json', 'tsconfig.json'].every((name) => existsSync(join(folder, name)))

/** @param {string} folder @returns {string[]} */
function sourcesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (IGNORED.test(entry.name)) return []
    if (entry.isDirectory()) return isProject(path) ? [] : sourcesIn(path)
    return SOURCE.test(entry.name) ? [path] : []
  })
}

/** A hash of names, sizes and times: it changes with the sources. */
function fingerprint() {
  const hash = createHash('sha256')
  for (const file of sourcesIn('.').sort()) {
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
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH'
  }
}

/** Whether this process has the lock now. */
function tryLock() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
    if (isForgotten()) rmSync(LOCK, { force: true })
    return false
  }
}

/** @param {string} tsc @returns {boolean} whether it compiled */
function compile(tsc) {
  const [made, old] = [`.dist.${process.pid}`, `.dist.old.${process.pid}`]
  const sources = fingerprint()
  const { status } = spawnSync(process.execPath, [tsc, '--outDir', made], { stdio: 'inherit' })
  if (status === 0) {
    for (const name of COPIED.filter(existsSync)) cpSync(name, join(made, name), { recursive: true })
    writeFileSync(join(made, '.sources'), sources)
    if (existsSync('dist')) renameSync('dist', old)
    renameSync(made, 'dist')
  }
  for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true })
  return status === 0
}

/** Where the compiler may be. TypeScript 7 has the other name where tools need an earlier one as `typescript`. */
const COMPILERS = ['@typescript/native', 'typescript']

/**
 * @param {string} name of a package that is installed for the project
 * @returns {string[]} its folder, or nothing
 */
function foldersOf(name) {
  try {
    // TypeScript 7 exports this file, and not the compiler.
    return [dirname(createRequire(resolve('package.json')).resolve(`${name}/package.json`))]
  } catch {
    return []
  }
}

/**
 * Finds the compiler of the project in the working directory. There is none where it needs no build: without
 * `tsconfig.json` it is in plain JavaScript, and without TypeScript it was built elsewhere, as in production.
 */
function compilerOf() {
  if (!existsSync('tsconfig.json')) return undefined
  const [folder] = COMPILERS.flatMap(foldersOf)
  return folder === undefined ? undefined : join(folder, 'lib/tsc.js')
}

/**
 * Makes `dist/` of the project in the working directory, if it is in TypeScript and its sources changed since.
 *
 * @returns {Promise<boolean>} whether `dist/` is that of the sources; false after errors of the compiler, which it told
 */
export async function buildProject() {
  const tsc = compilerOf()
  while (tsc !== undefined && !isBuilt()) {
    if (!tryLock()) await sleep(100)
    else {
      const done = compile(tsc)
      rmSync(LOCK)
      if (!done) return false
    }
  }
  return true
}
