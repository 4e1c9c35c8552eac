import { METHODS } from 'node:http'
import type { RouteOptions } from 'fastify'
import findMyWay from 'find-my-way'

type Methods = Set<string>

/**
 * The methods that each path answers. Fastify's router finds a path only together with a method, so this class has a
 * router that finds paths alone.
 */
export class AllowedMethods {
  readonly #byPath = new Map<string, Methods>()
  readonly #router = findMyWay({ ignoreTrailingSlash: true, defaultRoute: () => undefined })

  /** Adds a route. Paths with a wildcard are left out, because they serve files. */
  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    if (url.includes('*')) return
    const path = url.replace(/(?<=.)\/$/, '')
    const known = this.#byPath.get(path)
    const methods: Methods = known ?? new Set(['OPTIONS'])
    for (const name of [method].flat()) methods.add(name)
    if (known !== undefined) return
    this.#byPath.set(path, methods)
    this.#router.on('GET', path, () => methods)
  }

  /** Returns the value of `Allow` for a URL (RFC 9110 section 10.2.1), or undefined when no route has its path. */
  of(url: string): string | undefined {
    // `lookup` reads only these two members of a request, and no response.
    const methods = this.#router.lookup({ method: 'GET', url } as never, undefined as never) as
      | Methods
      | undefined
      | null
    return methods ? METHODS.filter((name) => methods.has(name)).join(', ') : undefined
  }
}
