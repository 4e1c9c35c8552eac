import { attack, http, type Job, withToken } from './attackers.ts'
import { type cluster, tokenOf as tokenOfDrills } from './kit.ts'
import type { TokenOf } from './user.ts'

export type Attack = Pick<Job, 'how' | 'requests'> & Partial<Job>
type Database = Awaited<ReturnType<typeof cluster>>

export const DOCUMENTATION = '/docs/static/swagger-ui-bundle.js'
const LIVE = http('GET', '/health/live')
/** An address of neither the honest users nor the attacker, whose connections are not counted. */
const ACCOMPLICE = '127.0.0.3'

/** A user with as many tasks of 10,000 characters, which compress well and have no z. */
export const insertTasks = (database: Database, user: string, count: number, text = 'md5(n::text)') =>
  database.query<{ id: string }>(
    `insert into tasks (user_id, id, title, description)
     select '${user}', gen_random_uuid(), 'task ' || n, left(repeat(${text}, 10000), 10000)
     from generate_series(1, ${count}) n returning id`
  )

/** Bytes that are no request, or a request for another protocol: `count` connections of each kind. */
export function raw(token: string, count: number): [string, Attack & { count: number }][] {
  const close = { Connection: 'close' }
  const body = { 'Content-Type': 'application/json', 'Content-Length': '10' }
  const kinds = {
    CONNECT: [http('CONNECT', 'x:80')],
    upgrades: [
      http('GET', '/health/live', { Connection: 'Upgrade, close', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'x' }),
      http('GET', '/api/tasks', { Connection: 'Upgrade, HTTP2-Settings, close', Upgrade: 'h2c', 'HTTP2-Settings': '' }),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
    ],
    expectations: [
      http('POST', '/api/tasks', { Expect: 'nonsense', ...close, ...body }),
      http('POST', '/api/tasks', { Expect: '100-continue', Authorization: `Bearer ${token}`, ...body }),
      http('GET', '/health/live', { Expect: 'nonsense', ...close })
    ],
    'malformed requests': [
      'NONSENSE\r\n\r\n',
      '\u0016\u0003\u0001\u0002',
      'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
      'POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n'
    ]
  }
  const half = [LIVE, 'POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{', 'GET / HT']
  return [
    ...Object.entries(kinds).map(([what, requests]): [string, Attack & { count: number }] => [
      what,
      { how: 'hold', requests, count, times: 1 }
    ]),
    ['half-closed connections', { how: 'hold', requests: half, count, times: 1, half: true }]
  ]
}

/** Clients that leave before their answer. */
export function abortions(token: string, count: number): [string, Attack][] {
  const list = withToken(token, 'GET', '/api/tasks')
  const again = http('GET', '/api/tasks', { Authorization: `Bearer ${token}` })
  const post = http('POST', '/api/tasks', { Authorization: `Bearer ${token}` }, '{"title":"left"}')
  const stream = http('GET', '/api/tasks/events', { Authorization: `Bearer ${token}` })
  const kinds = {
    'aborted requests': [http('GET', '/health/ready'), list],
    'aborted pipelines': [again + list, again + again + http('GET', '/health/ready'), post + again],
    'aborted bodies': [post.slice(0, -5), post.slice(0, -16)],
    'aborted documentation': [http('GET', DOCUMENTATION)]
  }
  const common = { how: 'abort', count, perSecond: Math.min(1000, count / 3) } as const
  return [
    ...Object.entries(kinds).map(([what, requests]): [string, Attack] => [what, { ...common, requests }]),
    [
      'aborted streams',
      { ...common, requests: [stream], count: count / 5, perSecond: Math.min(200, count / 15), begun: true }
    ],
    ['aborted answers', { ...common, requests: [list, http('GET', DOCUMENTATION)], begun: true, count: count / 5 }]
  ]
}

/** Clients that read nothing, with the segments of an Ethernet, and what happens meanwhile. */
export interface Unread {
  what: string
  /** The request is made anew each time, because tokens expire. */
  job(): Attack & { count: number }
  during(port: number): Promise<unknown>
}

export async function unread(database: Database, tokenOf: TokenOf = tokenOfDrills): Promise<Unread[]> {
  const hold = { how: 'hold', small: true, times: 1 } as const
  const nothing = async () => {}
  await insertTasks(database, 'pages', 100)
  const followers = Array.from({ length: 10 }, (_, n) => `unread-${n}`)
  const changes: string[] = []
  for (const user of followers) {
    const rows = await insertTasks(database, user, 100, `'\u{1F600}'`)
    changes.push(JSON.stringify({ update: rows.map(({ id }) => ({ id, change: { completed: true } })) }))
  }
  const page = () => withToken(tokenOf('pages'), 'GET', '/api/tasks?limit=100')
  const streams = () =>
    followers.map((user) => http('GET', '/api/tasks/events', { Authorization: `Bearer ${tokenOf(user)}` }))
  return [
    {
      what: '1,500 unread answers',
      job: () => ({ ...hold, requests: [LIVE], times: 1500, count: 1 }),
      during: nothing
    },
    {
      what: 'unread documentation',
      job: () => ({ ...hold, requests: [http('GET', DOCUMENTATION)], count: 20 }),
      during: nothing
    },
    { what: '300 unread pages', job: () => ({ ...hold, requests: [page()], count: 300 }), during: nothing },
    {
      what: '100 unread streams',
      job: () => ({ ...hold, requests: streams(), count: 100 }),
      // Each of the ten users changes all of their tasks, 4 MB of events.
      during: async (port) => {
        const requests = changes.map((body, n) => withToken(tokenOf(`unread-${n}`), 'POST', '/api/tasks/batch', body))
        const attacker = await attack(port, { how: 'ask', requests, count: 10, perSecond: 5, sources: [ACCOMPLICE] })
        await attacker.report
      }
    }
  ]
}

/** As many searches at once as a user may send in a minute, or fewer. */
export const search = (token: string, count = 600): Attack => ({
  how: 'ask',
  requests: [withToken(token, 'GET', '/api/tasks?q=zz1')],
  count,
  atOnce: count
})

/** Bodies of 1 MiB, which are refused, four at a time. */
export const refusedBodies = (token: string, count: number, perSecond: number): Attack => ({
  how: 'ask',
  requests: [withToken(token, 'POST', '/api/tasks/batch', `{"create":[${Array(349_000).fill('{}').join()}]}`)],
  count,
  atOnce: 4,
  perSecond
})
