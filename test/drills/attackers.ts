import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterwards } from './kit.ts'

/** A task for attacker.py, which runs as a separate process. */
export interface Job {
  /**
   * `hold` sends each request `times` times on a connection of its own, reads nothing and never closes. `drip` reads
   * one answer slowly. `abort` sends and resets the connection. `ask` sends whole requests and reads the answers.
   */
  how: 'hold' | 'drip' | 'abort' | 'ask'
  /** The bytes to send, one after another. */
  requests: string[]
  count: number
  /** The addresses that the connections come from, one after another. */
  sources: string[]
  /** Requests a second, or of `drip` bytes. */
  perSecond: number
  times?: number
  atOnce?: number
  /** Segments of 1,400 bytes and a small receive buffer, as a client on Ethernet could have them. */
  small?: boolean
  /** `hold`: ends its sending side. */
  half?: boolean
  /** `abort`: waits until the answer has begun. */
  begun?: boolean
}

export interface Report {
  /** Why it could not be done. */
  error?: string
  /** `ask`: how often each status was answered, `none` for a connection that was closed without. */
  statuses?: Record<string, number>
  /** `drip`: bytes, and whether it was the whole answer. */
  received?: number
  whole?: boolean
}

const FILE = fileURLToPath(new URL('../../../test/drills/attacker.py', import.meta.url))

/**
 * The address that attackers have unless they have many: other than that of the honest users, so that their connections
 * can be told apart.
 */
export const ATTACKER = '127.0.0.2'

/** Starts an attack. Resolves when it has begun. */
export async function attack(port: number, job: Pick<Job, 'how' | 'requests'> & Partial<Job>) {
  const whole: Job = { count: 1, sources: [ATTACKER], perSecond: 1_000_000, times: 1, atOnce: 1000, ...job }
  const child = spawn('python3', [FILE], { stdio: ['pipe', 'pipe', 'inherit'] })
  afterwards(() => child.kill('SIGKILL'))
  let output = ''
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      output += chunk
      if (output.startsWith('ready\n')) resolve()
    })
  })
  const closed = once(child, 'close')
  // An attack may end early because the service did, which is not an error of the drill.
  child.stdin.on('error', () => {})
  child.stdin.write(`${JSON.stringify({ port, ...whole })}\n`)
  await Promise.race([ready, closed])
  if (output === '') throw new Error('the attacker could not be started')
  const report = closed.then((): Report => JSON.parse(output.replace('ready\n', '') || '{}') as Report)
  return {
    /** Resolves when it has done all. */
    report,
    /** Ends it, and with it its connections. */
    async stop() {
      child.stdin.end()
      return report
    }
  }
}

/** The bytes of a request. */
export function http(method: string, path: string, headers: Record<string, string> = {}, body = ''): string {
  const length =
    body === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': `${Buffer.byteLength(body)}` }
  const fields = Object.entries({ Host: 'x', ...length, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n${body}`
}

const CLOSE = { Connection: 'close' }

/** The bytes of a request that carries a token, and whose answer ends its connection. */
export const withToken = (token: string, method: string, path: string, body = '') =>
  http(method, path, { Authorization: `Bearer ${token}`, ...CLOSE }, body)

/**
 * Columns of a row of /proc/net/tcp. A connection that the service has closed, or has not accepted yet, has no inode.
 */
const [LOCAL, REMOTE, STATE, INODE] = [1, 2, 3, 9]
/** ESTABLISHED and CLOSE_WAIT: the service has not closed the connection. */
const OPEN = ['01', '08']

/** How many connections of an address the service at `port` has open. */
export function connections(port: number, address = ATTACKER): number {
  const hex = (bytes: Buffer) => bytes.toString('hex').toUpperCase()
  const local = hex(Buffer.from([port >> 8, port & 255]))
  const remote = hex(Buffer.from(address.split('.').reverse().map(Number)))
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1, -1)
  return rows.filter((row) => {
    const columns = row.trim().split(/\s+/)
    const matches = columns[LOCAL]?.endsWith(`:${local}`) && columns[REMOTE]?.startsWith(`${remote}:`)
    return matches && (columns[INODE] !== '0' || OPEN.includes(columns[STATE] ?? ''))
  }).length
}
