const CONCURRENCY = 8
const PAGE = 100

/** A task as it was when the service was filled. */
export interface Known {
  id: string
  version: number
}

/** A user of the load test. The titles of all their tasks begin with `<sub>: `, and nobody else's do. */
export interface LoadUser {
  sub: string
  token: string
  tasks: Known[]
}

export const titleOf = (sub: string, text: string) => `${sub}: ${text}`

/** One call of the API, which must succeed. */
async function call(base: string, path: string, token: string, body?: unknown): Promise<Response> {
  const answer = await fetch(new URL(path, base), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  if (!answer.ok) throw new Error(`${base} answers ${answer.status} while it is filled: ${await answer.text()}`)
  return answer
}

async function tasksOf(base: string, token: string) {
  const tasks: (Known & { title: string })[] = []
  let next: string | undefined = `/api/tasks?limit=${PAGE}`
  while (next !== undefined) {
    const answer: Response = await call(base, next, token)
    tasks.push(...((await answer.json()) as typeof tasks))
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
  }
  return tasks
}

/** Gives a user exactly `count` tasks, whatever an earlier run left. */
async function fill(base: string, sub: string, token: string, count: number): Promise<LoadUser> {
  const found = await tasksOf(base, token)
  const tasks: Known[] = found.filter(({ title }) => title.startsWith(titleOf(sub, ''))).slice(0, count)
  const surplus = found.filter((task) => !tasks.includes(task))
  for (let at = 0; at < surplus.length; at += PAGE) {
    await call(base, '/api/tasks/batch', token, { delete: surplus.slice(at, at + PAGE).map(({ id }) => ({ id })) })
  }
  while (tasks.length < count) {
    const create = Array.from({ length: Math.min(PAGE, count - tasks.length) }, (_, i) => ({
      title: titleOf(sub, `task ${tasks.length + i + 1}`),
      description: 'Made by the load test',
      dueAt: '2030-01-31T09:00:00Z'
    }))
    const { created } = (await (await call(base, '/api/tasks/batch', token, { create })).json()) as { created: Known[] }
    tasks.push(...created)
  }
  return { sub, token, tasks: tasks.map(({ id, version }) => ({ id, version })) }
}

/**
 * Fills a service through its API, which is one way for every engine and for a service that runs elsewhere.
 *
 * @param tokenOf makes the token of a user
 * @param progress is told how much is done, from 0 to 1
 */
export async function populate(
  base: string,
  { users, tasks }: { users: number; tasks: number },
  tokenOf: (sub: string) => Promise<string>,
  progress: (done: number) => void
): Promise<LoadUser[]> {
  const filled: LoadUser[] = []
  let next = 1
  async function work() {
    while (next <= users) {
      const sub = `load-${next++}`
      filled.push(await fill(base, sub, await tokenOf(sub), tasks))
      progress(filled.length / users)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  return filled
}
