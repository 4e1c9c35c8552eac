// A server that speaks as much of PostgreSQL's protocol (its documentation, chapter "Message Formats") as the programs
// of this folder need.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** Listens on a free port. */
export async function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    // A client that leaves is no fault of the server.
    socket.on('error', () => {})
    accept(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The answer to a statement: rows of one column, and then an error if there is one. */
export interface Answer {
  rows?: string[]
  error?: string
}
/** Returns undefined for a statement that is never answered. */
export type Script = (text: string, socket: Socket) => Answer | undefined

/** Listens on a free port, and answers statements as `script` does. */
export const serve = (script: Script): Promise<number> =>
  listen((socket) => {
    const session = new Session(script, socket)
    let received = Buffer.alloc(0)
    let typeBytes = 0
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      const sent: Buffer[] = []
      while (received.length >= typeBytes + 4) {
        const end = received.readInt32BE(typeBytes) + typeBytes
        if (received.length < end) break
        const type = typeBytes === 0 ? 'startup' : String.fromCharCode(received[0] ?? 0)
        sent.push(session.answer(type, received.subarray(typeBytes + 4, end)))
        received = received.subarray(end)
        typeBytes = 1
      }
      const answer = Buffer.concat(sent)
      if (answer.length > 0 && !socket.destroyed) socket.write(answer)
    })
  })

export const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255])
export const int32 = (value: number) => Buffer.concat([int16(value >> 16), int16(value)])
const string = (value: string) => Buffer.from(`${value}\0`)
const NOTHING = Buffer.alloc(0)

export function message(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}

const COLUMN = [string('v'), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)]
const row = (value: string) => message('D', int16(1), int32(Buffer.byteLength(value)), Buffer.from(value))
const failed = (error: string) => message('E', string('SERROR'), string('C22000'), string(`M${error}`), string(''))

/** Authentication succeeded, the keys for cancel requests, and ready for a statement. */
export const WELCOME = Buffer.concat([
  message('R', int32(0)),
  message('K', int32(7), int32(9)),
  message('Z', Buffer.from('I'))
])

/** One connection, as the server sees it. */
class Session {
  readonly #script: Script
  readonly #socket: Socket
  readonly #prepared = new Map<string, string>()
  #text = ''
  #silent = false
  #transaction = 'I'

  constructor(script: Script, socket: Socket) {
    this.#script = script
    this.#socket = socket
  }

  answer(type: string, body: Buffer): Buffer {
    const [first = '', second = ''] = body.toString().split('\0')
    switch (type) {
      case 'startup':
        return WELCOME
      case 'Q':
        this.#text = first
        return Buffer.concat([this.#columns(NOTHING), this.#execute(), this.#ready()])
      case 'P':
        this.#prepared.set(first, second)
        this.#text = second
        return message('1')
      case 'D':
        return Buffer.concat([message('t', int16(0)), this.#columns(message('n'))])
      case 'B':
        this.#text = this.#prepared.get(second) ?? ''
        return message('2')
      case 'E':
        return this.#execute()
      case 'S':
        return this.#ready()
      default:
        return NOTHING
    }
  }

  #columns = (none: Buffer) => (this.#text.startsWith('select') ? message('T', int16(1), ...COLUMN) : none)

  #execute(): Buffer {
    const answer = this.#script(this.#text, this.#socket)
    this.#silent = answer === undefined
    if (answer === undefined) return NOTHING
    const [command = ''] = this.#text.trim().toUpperCase().split(' ')
    const { rows = [], error } = command === 'SELECT' ? answer : {}
    if (command === 'BEGIN') this.#transaction = 'T'
    if (command === 'COMMIT' || command === 'ROLLBACK') this.#transaction = 'I'
    const tag = command === 'SELECT' ? `SELECT ${rows.length}` : command
    return Buffer.concat([...rows.map(row), error === undefined ? message('C', string(tag)) : failed(error)])
  }

  #ready = () => (this.#silent ? NOTHING : message('Z', Buffer.from(this.#transaction)))
}
