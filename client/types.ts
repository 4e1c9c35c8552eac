/** What every item of a resource has. */
export interface Row {
  id: string
  version: number
}

type Json<T> = T extends { content: { 'application/json': infer Body } } ? Body : never

type Answer<T> = T extends { responses: { 200: infer Ok } } ? Json<Ok> : never

type Sent<T> = T extends { requestBody?: infer Body } ? Json<NonNullable<Body>> : never

type Operation<Path, Method extends string> = Path extends { [M in Method]?: infer Op } ? Op : never

/** The paths of the resources among those of a document: `/api/tasks` if there is `/api/tasks/{id}`. */
export type ResourcePath<Paths> = {
  [P in keyof Paths & string]: `${P}/{id}` extends keyof Paths ? P : never
}[keyof Paths & string]

/** An item as the service answers it. */
export type ItemOf<Paths, P extends keyof Paths> =
  Answer<Operation<Paths[P], 'get'>> extends (infer Item extends Row)[] ? Item : never

/** The members of an item to create. */
export type DraftOf<Paths, P extends keyof Paths> = Sent<Operation<Paths[P], 'post'>>

/** The members of an item to change. */
export type ChangeOf<Paths, P extends keyof Paths & string> = `${P}/{id}` extends keyof Paths
  ? Sent<Operation<Paths[`${P}/{id}`], 'patch'>>
  : never

/** What a list may be asked for. Pages follow their links, so there is no cursor. */
export type QueryOf<Paths, P extends keyof Paths> =
  Operation<Paths[P], 'get'> extends { parameters: { query?: infer Q } } ? Omit<NonNullable<Q>, 'cursor'> : never
