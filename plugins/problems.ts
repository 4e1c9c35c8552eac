import { type IncomingMessage, METHODS, type ServerResponse } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import findMyWay, { type HTTPMethod } from 'find-my-way'
import { classify, codeOf } from '../src/db/errors.ts'
import { Problem, problemOfFramework, refusals, sendProblem } from '../src/errors.ts'
import { isHostValid } from '../src/http/host.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers a request that leads nowhere: a 404, a 405 with `Allow`, or what the router refused it for. */
    answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply
    /**
     * The methods that the path of a URL answers, as `Allow` lists them (RFC 9110 section 10.2.1), if it is one of
     * ours.
     */
    allowedMethods(url: string): string | undefined
  }
}

/** Answers whatever goes wrong as a problem document: thrown errors, unknown paths (404) and methods (405). */
export default fp(
  async (app) => {
    // Fastify's router knows a path only together with a method; this one knows the paths.
    const router = findMyWay({ ignoreTrailingSlash: true, defaultRoute: () => undefined })
    const methods = new Map<string, Set<string>>()

    app.addHook('onRoute', ({ url, method }) => {
      if (url.includes('*')) return
      const path = url.replace(/(?<=.)\/$/, '')
      const known = methods.get(path)
      const set = known ?? new Set(['OPTIONS'])
      for (const one of [method].flat()) set.add(one)
      if (known !== undefined) return
      methods.set(path, set)
      router.on('GET', path, () => set)
    })

    // Node would answer a request without Host itself, in its own words.
    app.addHook('onRequest', (request, reply, done) => {
      if (refusals.get(request.raw) === 'expectation_failed') {
        // The client waits for a word before it sends the body, so the body is not waited for.
        sendProblem(reply.header('connection', 'close'), 'expectation_failed')
      } else if (isHostValid(request.raw)) done()
      else sendProblem(reply, 'bad_request')
    })
    // It does not reach the router otherwise.
    app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      refusals.set(request, 'expectation_failed')
      app.routing(request, response)
    })

    app.decorate('allowedMethods', (url: string) => {
      const set = router.lookup(
        { method: 'GET' satisfies HTTPMethod, url } as never,
        undefined as never
      ) as Set<string> | null
      return set ? METHODS.filter((one) => set.has(one)).join(', ') : undefined
    })

    const notFound = (request: FastifyRequest, reply: FastifyReply) => {
      const refusal = refusals.get(request.raw)
      if (refusal !== undefined) return sendProblem(reply, refusal)
      const allow = app.allowedMethods(request.url)
      if (allow === undefined) return sendProblem(reply, 'not_found')
      reply.header('allow', allow)
      return request.method === 'OPTIONS' ? reply.code(204).send() : sendProblem(reply, 'method_not_allowed')
    }
    app.decorate('answerNotFound', notFound)
    // It makes the hooks apply to such requests.
    app.setNotFoundHandler(notFound)

    app.setErrorHandler((error: FastifyError | Problem, request, reply) => {
      if (error instanceof Problem) return sendProblem(reply, error.problem, error.faults)
      const expected = ('query' in error ? classify(error) : undefined) ?? problemOfFramework(error, undefined)
      if (expected === 'unavailable') request.log.warn({ code: codeOf(error) }, 'answered 503')
      if (expected !== undefined) return sendProblem(reply, expected)
      request.log.error({ err: error }, 'answered 500')
      return sendProblem(reply, 'internal_error')
    })
  },
  { name: 'problems', dependencies: ['headers', 'request-id'] }
)
