"""`fleetctl sign`: the customer's side of an organization's TUF repository.

Root and targets keys are made and used here, on the machine of whoever signs. They are never sent.
"""
