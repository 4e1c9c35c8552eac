import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { folder, start } from './support/program.ts'

/** What the commands below use of Node.js, whose types take a second to read. */
const NODE = `declare const console: { log(...texts: unknown[]): void }
declare const process: { argv: string[]; once(signal: string, run: () => void): void; exit(): void }
declare function setInterval(run: () => void, ms: number): void`

t.test('commands build what changed, once, and leave a build that is in use alone (issue 16)', async (t) => {
  const cwd = folder(t)
  for (const name of ['src', 'drizzle']) mkdirSync(join(cwd, name))
  symlinkSync(resolve('node_modules'), join(cwd, 'node_modules'))
  writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }')
  const compilerOptions = { target: 'es2023', lib: ['es5'], rootDir: '.', types: [], skipLibCheck: true }
  writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }))
  const write = (text: string) => writeFileSync(join(cwd, 'src/command.ts'), `${NODE}\n${text}\nexport {}\n`)
  const run = (...options: string[]) => start(t, resolve('build.js'), cwd, {}, options).ended
  const left = () => readdirSync(cwd).filter((name) => name.startsWith('.dist'))

  write('console.log("first", process.argv.slice(2).join())')
  const [one, other] = await Promise.all([run('src/command.js', '--a', 'b'), run('src/command.js', '--c')])
  t.match(one, { code: 0, output: 'first --a,b\n' })
  t.match(other, { code: 0, output: 'first --c\n' })
  t.ok(existsSync(join(cwd, 'dist/drizzle')))
  t.same(left(), [])

  let made = statSync(join(cwd, 'dist')).ino
  t.match(await run('src/command.js'), { code: 0, output: 'first \n' })
  mkdirSync(join(cwd, 'web'))
  for (const file of ['package.json', 'tsconfig.json', 'app.ts']) writeFileSync(join(cwd, 'web', file), '{}')
  t.match(await run('src/command.js'), { code: 0, output: 'first \n' })
  t.equal(statSync(join(cwd, 'dist')).ino, made, 'nothing of this project changed, so nothing was built')
  writeFileSync(join(cwd, 'src/tsconfig.json'), '{}')
  t.match(await run('src/command.js'), { code: 0, output: 'first \n' })
  t.not(statSync(join(cwd, 'dist')).ino, made, 'a folder with other options is part of it')
  made = statSync(join(cwd, 'dist')).ino

  write('const number: number = "text"')
  t.match(await run('src/command.js'), { code: 1, output: /error TS2322/ })
  t.match(readFileSync(join(cwd, 'dist/src/command.js'), 'utf8'), 'first', 'what does not compile replaces nothing')
  t.same(left(), [])

  // What npm does: it tells its shell to end, which does not tell its command.
  write(`process.once('SIGTERM', () => { console.log('ended'); process.exit() })
    setInterval(() => {}, 1000)
    console.log('up')`)
  const env = { ...process.env, npm_lifecycle_event: 'start' }
  const shell = spawn('sh', ['-c', `"${process.execPath}" "${resolve('build.js')}" src/command.js; true`], { cwd, env })
  let told = ''
  shell.stdout.on('data', (text) => {
    told += text
    if (told === 'up\n') shell.kill()
  })
  await once(shell, 'close')
  t.equal(told, 'up\nended\n')

  // A process that was killed while it built leaves this lock.
  writeFileSync(join(cwd, '.dist.lock'), '999999999')
  write('console.log("second")')
  t.match(await run('src/command.js'), { code: 0, output: 'second\n' })
  t.not(statSync(join(cwd, 'dist')).ino, made)
})

t.test('a project is built by the TypeScript that it has installed, of version 7 or earlier (issue 16)', async (t) => {
  for (const [version, installed] of [
    ['6', 'typescript'],
    ['7', '@typescript/native']
  ] as const) {
    const cwd = folder(t)
    for (const name of ['node_modules', 'src']) mkdirSync(join(cwd, name))
    symlinkSync(resolve('node_modules', installed), join(cwd, 'node_modules/typescript'))
    writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }')
    const compilerOptions = { target: 'es2023', lib: ['es5'], rootDir: '.', types: [], listEmittedFiles: true }
    writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }))
    writeFileSync(join(cwd, 'src/command.ts'), `${NODE}\nconsole.log('done')\nexport {}\n`)
    const { code, output } = await start(t, resolve('build.js'), cwd, {}, ['src/command.js']).ended
    t.match({ code, output }, { code: 0, output: /command\.js\ndone\n$/ }, version)
    const manifest = readFileSync(join(cwd, 'node_modules/typescript/package.json'), 'utf8')
    t.match(JSON.parse(manifest).version, RegExp(`^${version}\\.`))
  }
})
