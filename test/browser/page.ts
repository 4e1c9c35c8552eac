// The page of test/browser/client.ts: one tab of one user.
import { createClient, live, Problem } from '../../client/index.ts'
import type { Paths, Task } from '../client/kit.ts'

type Query = Parameters<ReturnType<typeof tasksOf>['list']>[0]
const tasksOf = (client: ReturnType<typeof createClient<Paths>>) => client.resource('/api/tasks')

/** What the test has of a tab. */
export interface Tab {
  /** Does one thing, and returns what came of it: a task, or the code of a problem. */
  run(action: Action): Promise<unknown>
  /** What each list shows. */
  shown(): { rows: Task[]; pending: number; live: boolean; loaded: boolean; hasMore: boolean }[]
  /** How many tokens were fetched, and how often a request waited. */
  counts(): { tokens: number; waits: number; ended: boolean }
}

export type Action =
  | { kind: 'create'; draft: { id?: string; title: string; completed?: boolean; dueAt?: string | null } }
  | { kind: 'change'; id: string; change: object; version?: number; rebase?: boolean }
  | { kind: 'remove'; id: string; version?: number }
  | { kind: 'batch'; batch: object }
  | { kind: 'pages'; count: number }
  | { kind: 'more' }
  | { kind: 'sign out' }

interface Page {
  session: string
  /** The first token, unless it is empty. */
  first: string
  queries: NonNullable<Query>[]
  tab: Tab
}
const page = globalThis as unknown as Page & { start(): void }

page.start = () => {
  const { session, queries, first } = page
  let [tokens, waits, ended] = [0, 0, false]
  const client = createClient<Paths>({
    url: '/',
    async token() {
      tokens++
      if (tokens === 1 && first !== '') return first
      const answer = await fetch('/api/auth/token', { headers: { authorization: `Bearer ${session}` } })
      if (answer.status === 401) return null
      if (!answer.ok) throw new Error(`The issuer answered with status ${answer.status}`)
      return ((await answer.json()) as { token: string }).token
    },
    onWait: () => waits++
  })
  client.onSignedOut(() => {
    ended = true
  })
  client.changes().subscribe(() => {})
  const tasks = tasksOf(client)
  const lists = queries.map((query) => live(tasks, query))
  for (const list of lists) list.subscribe(() => {})

  async function act(action: Action): Promise<unknown> {
    switch (action.kind) {
      case 'create':
        return tasks.create(action.draft)
      case 'change': {
        const { id, change, version, rebase = false } = action
        return tasks.change(id, change, version === undefined ? {} : { version, rebase })
      }
      case 'remove':
        return tasks.remove(action.id, action.version === undefined ? {} : { version: action.version })
      case 'batch':
        return tasks.batch(action.batch)
      case 'pages':
        return (await Promise.allSettled(Array.from({ length: action.count }, () => tasks.page()))).filter(
          ({ status }) => status === 'fulfilled'
        ).length
      case 'more':
        return void (await Promise.all(lists.map((list) => list.more())))
      case 'sign out':
        return client.signOut()
    }
  }

  page.tab = {
    run: (action) => act(action).catch((error) => (error instanceof Problem ? { code: error.code } : String(error))),
    shown: () =>
      lists.map((list) => {
        const { rows, pending, live, loaded, hasMore } = list.getSnapshot()
        return { rows: [...rows], pending: pending.size, live, loaded, hasMore }
      }),
    counts: () => ({ tokens, waits, ended })
  }
}
