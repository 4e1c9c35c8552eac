import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, realpathSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock } from 'fs-native-extensions'

// A predecessor that was just told to stop (a restart in development) needs a moment to let go.
const WAIT_MS = 3000

/**
 * Locks the embedded database in `folder`, which is made when it is missing, for this process. Two engines on one
 * folder lose acknowledged rows without a word, so the lock is the kernel's: it ends with its process, however that
 * ends, and no stale file can keep it.
 *
 * @returns gives the lock back
 * @throws when another process has it; the message names that
 */
export async function lock(folder: string): Promise<() => void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // One lock for the folder, by whatever name or link it is reached.
  const file = `${realpathSync(folder)}.lock`
  const fd = openSync(file, 'a+', 0o600)
  for (const deadline = Date.now() + WAIT_MS; !tryLock(fd); await sleep(50)) {
    if (Date.now() < deadline) continue
    closeSync(fd)
    const holder = readFileSync(file, 'utf8')
    throw new Error(
      `The embedded database in ${folder} is in use by ${holder}. Stop that, or set another DATABASE_URL here.`
    )
  }
  ftruncateSync(fd)
  writeSync(fd, `process ${process.pid} (${process.argv.slice(1).join(' ')})`)
  return () => closeSync(fd)
}
