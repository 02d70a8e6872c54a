"""One process that grades for all ranks and machines of a training: `refinecli serve`.

payloads -> Asked          trainers' shapes of a request
service.Service            grades it, once for equal requests, and holds what stays ungraded
web                        HTTP around that
"""
